// What the page does by itself, without asking the server: paste and drop anywhere, the compare slider, light and dark.
(() => {
  "use strict";
  const THEME = "everyage-theme";
  const within = (event, selector) => event.target instanceof Element && event.target.closest(selector);

  // Each page has one file input; pasted files and files dropped beside it are handed to that of the page in view.
  const inView = (selector) => [...document.querySelectorAll(selector)].find((element) => element.offsetParent);
  function hand(files) {
    const photos = inView("#photo");
    const field = photos || inView("#video-file") || inView("#model-file") || inView("#g-recipe");
    const input = field && field.querySelector("input[type=file]");
    const isPhoto = (file) => file.type.startsWith("image/") || /\.hei[cf]$/i.test(file.name);
    const file = [...(files || [])].find((each) => !photos || isPhoto(each));
    if (!input || !file) return false;
    const list = new DataTransfer();
    list.items.add(file);
    input.files = list.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  }
  // The People page takes many files and whole folders, which only the event itself knows.
  function collect(transfer) {
    const field = inView(".ea-drop");
    if (field && transfer) field.dispatchEvent(new CustomEvent("everyage:files", { bubbles: true, detail: transfer }));
    return Boolean(field);
  }
  const dragging = (on) => document.body.classList.toggle("ea-dragging", on);
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData && event.clipboardData.files;
    if (!files || !files.length) return;
    if (collect(event.clipboardData) || hand(files)) event.preventDefault();
  });
  document.addEventListener("dragover", (event) => { event.preventDefault(); dragging(true); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dragging(false); });
  document.addEventListener("drop", (event) => {
    dragging(false);
    if (within(event, "#photo, #style-photo, #video-file, #model-file, #g-recipe, #g-start, .ea-drop")) return;  // the component takes it itself
    event.preventDefault();
    if (collect(event.dataTransfer)) return;
    hand(event.dataTransfer && event.dataTransfer.files);
  }, true);

  // The divider lives on the outer element, which the server never redraws, so a new result keeps its place.
  document.addEventListener("input", (event) => {
    const range = within(event, ".ea-compare input[type=range]");
    if (range) range.closest("#compare, #video-stage").style.setProperty("--at", `${range.value}%`);
    // A slider may have its value beside it.
    const shown = within(event, "input[type=range][data-shown]");
    const output = shown && shown.parentElement.querySelector("output");
    const second = () => shown.max < 60 ? `${Number(shown.value).toFixed(1)} s` : clock(shown.value);
    if (output) output.textContent = shown.dataset.shown === "clock" ? second() : shown.value;
  });
  const clock = (seconds) => {
    const whole = Math.round(seconds);
    const two = (number) => String(number).padStart(2, "0");
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };

  // The player: two videos that show the same moment. The result leads, the original follows where it has drifted.
  const DRIFT = 0.06;  // seconds
  const player = (event) => within(event, ".ea-player");
  const pair = (figure) => [figure.querySelector(".ea-after"), figure.querySelector(".ea-before")];
  function follow(figure, exactly) {
    const [after, before] = pair(figure);
    if (!before || figure.classList.contains("ea-alone")) return;
    const place = after.currentTime + Number(figure.dataset.start);
    if (exactly || Math.abs(before.currentTime - place) > DRIFT) before.currentTime = place;
    if (after.paused || after.ended) before.pause();
    else if (before.paused) before.play().catch(() => {});
  }
  function tell(figure) {
    const [after] = pair(figure);
    const length = Number.isFinite(after.duration) ? after.duration : 0;
    const seek = figure.querySelector(".ea-seek");
    if (document.activeElement !== seek || !after.seeking) seek.value = length ? 1000 * after.currentTime / length : 0;
    seek.setAttribute("aria-valuetext", `${clock(after.currentTime)} of ${clock(length)}`);
    figure.querySelector(".ea-clock").textContent = `${clock(after.currentTime)} / ${clock(length)}`;
    const play = figure.querySelector("[data-play]");
    const going = !after.paused && !after.ended;
    play.setAttribute("aria-label", going ? "Pause" : "Play");
    figure.classList.toggle("ea-going", going);
  }
  for (const name of ["play", "pause", "ended", "seeked", "timeupdate", "loadedmetadata"]) {
    document.addEventListener(name, (event) => {
      const figure = player(event);
      if (!figure || !event.target.matches(".ea-after")) return;
      follow(figure, name !== "timeupdate" && name !== "play");
      tell(figure);
    }, true);  // they do not bubble
  }
  document.addEventListener("error", (event) => {
    const figure = player(event);
    if (!figure || !event.target.matches("video")) return;
    const before = event.target.matches(".ea-before");
    if (before) figure.classList.add("ea-alone");
    figure.querySelector(".ea-unplayed").textContent = before
      ? "This browser can't play the original, so the result is shown alone."
      : "This browser can't play the result; download it.";
  }, true);
  document.addEventListener("input", (event) => {
    const figure = player(event);
    if (!figure) return;
    const [after] = pair(figure);
    if (event.target.matches(".ea-seek")) after.currentTime = after.duration * event.target.value / 1000 || 0;
    else if (event.target.type === "range") figure.style.setProperty("--at", `${event.target.value}%`);
  });
  document.addEventListener("click", (event) => {
    const figure = player(event);
    if (!figure) return;
    const [after] = pair(figure);
    if (within(event, "[data-play]")) after.paused || after.ended ? after.play() : after.pause();
    if (within(event, "[data-full]")) figure.requestFullscreen && figure.requestFullscreen();
    const mute = within(event, "[data-mute]");
    if (mute) {
      after.muted = !after.muted;
      mute.setAttribute("aria-pressed", after.muted);
    }
  });

  // On the Generate page: Ctrl and Enter makes the picture, Escape stops it.
  document.addEventListener("keydown", (event) => {
    const page = inView("#g-panel");
    if (!page) return;
    const button = event.key === "Enter" && (event.ctrlKey || event.metaKey) ? inView("#g-run")
      : event.key === "Escape" ? inView("#g-stop") : null;
    if (!button) return;
    event.preventDefault();
    const field = document.activeElement;
    if (field && field.dispatchEvent) field.dispatchEvent(new Event("input", { bubbles: true }));
    setTimeout(() => button.click(), 60);  // once the server has what was just typed
  });

  let chosen = null;  // "light", "dark", or null: as the system says
  try { chosen = localStorage.getItem(THEME); } catch { /* private mode: not remembered */ }
  const isDark = () => document.body.classList.contains("dark");
  function paint() {
    if (chosen && isDark() !== (chosen === "dark")) document.body.classList.toggle("dark");
  }
  document.addEventListener("click", (event) => {
    if (within(event, ".ea-theme")) {
      chosen = isDark() ? "light" : "dark";
      paint();
      try { localStorage.setItem(THEME, chosen); } catch { /* private mode */ }
    }
    if (within(event, ".ea-skip")) {
      event.preventDefault();
      const first = inView("#photo button, .ea-drop button, #video-file button, #models-left button, #g-prompt textarea, #jobs-filters button");
      if (first) first.focus();
    }
    if (within(event, ".ea-helplink")) {
      event.preventDefault();
      const help = document.querySelector("#help");
      const toggle = help && help.querySelector("button.label-wrap");
      if (!toggle) return;
      if (!toggle.classList.contains("open")) toggle.click();
      help.scrollIntoView({ behavior: "smooth" });
      toggle.focus({ preventScroll: true });
    }
  });

  // Gradio sets light or dark while it starts, at a time of its own; a choice made here is put back.
  function start() {
    paint();
    new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }
  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
