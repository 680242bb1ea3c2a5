// Runs once for every piece of live HTML; `element`, `trigger` and `watch` come from Gradio.
// A button with data-act says "click" with its data, and with what is ticked around it (data-pick within data-picks).
// One with data-confirm asks by its own label first. A field with data-act says its value when it changes, a form with
// data-act all its fields when it is sent.
const say = (source, more) => trigger('click', {
  act: source.dataset.act, index: Number(source.dataset.index ?? -1), id: source.dataset.id ?? '', ...more,
});
const picked = (source) =>
  [...(source.closest('[data-picks]')?.querySelectorAll('[data-pick]:checked') ?? [])].map((box) => box.value);

element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-act]');
  if (!button) return;
  if (button.dataset.confirm && !button.dataset.armed) {
    const label = button.textContent;
    button.dataset.armed = '1';
    button.textContent = button.dataset.confirm;
    setTimeout(() => {
      if (!button.dataset.armed) return;  // drawn anew meanwhile
      delete button.dataset.armed;
      button.textContent = label;
    }, 4000);
    return;
  }
  say(button, {ids: picked(button)});
});
element.addEventListener('change', (event) => {
  const field = event.target;
  if (!field.matches('input[data-act], select[data-act]')) return;
  if (field.checkValidity && !field.checkValidity()) { field.reportValidity(); return; }
  say(field, {value: field.type === 'checkbox' ? field.checked : field.value, ids: picked(field)});
});
element.addEventListener('submit', (event) => {
  const form = event.target.closest('form[data-act]');
  if (!form) return;
  event.preventDefault();
  say(form, {fields: Object.fromEntries(new FormData(form, event.submitter)), ids: picked(form)});
});

// Gradio turns the old nodes into the new ones by their place, so ticks and typed text would stay with a place whose
// meaning has changed; and the focus is lost where the list became shorter.
let focused = null;
element.addEventListener('focusin', (event) => {
  const field = event.target;
  focused = {node: field, act: field.dataset.act, id: field.dataset.id};
  focused.place = [...element.querySelectorAll(`[data-act="${field.dataset.act}"]`)].indexOf(field);
});
const folds = new Map();  // what was folded or unfolded by hand stays so
element.addEventListener('toggle', (event) => {
  if (event.target.dataset.fold) folds.set(event.target.dataset.fold, event.target.open);
}, true);
watch('value', () => {
  for (const part of element.querySelectorAll('details[data-fold]'))
    if (folds.has(part.dataset.fold)) part.open = folds.get(part.dataset.fold);
  const stays = (field) => field === document.activeElement && focused && field.dataset.id === focused.id;
  for (const field of element.querySelectorAll('input, select')) {
    if (stays(field) && field.type !== 'checkbox') continue;
    if (field.type === 'checkbox' || field.type === 'radio') field.checked = field.defaultChecked;
    else if (field.tagName === 'SELECT') field.selectedIndex = Math.max(0, [...field.options].findIndex((o) => o.defaultSelected));
    else if (field.type === 'file' || (field.type === 'range' && !field.name)) continue;  // a divider keeps its place
    else field.value = field.defaultValue;
  }
  if (focused && focused.act && !focused.node.isConnected && document.activeElement === document.body) {
    const same = [...element.querySelectorAll(`[data-act="${focused.act}"]`)];
    const next = same[Math.min(focused.place, same.length - 1)];
    if (next) next.focus({preventScroll: true});
  }
});
