// A form that takes files: collects what is dropped or chosen, hands the files over one by one when it is sent, and only
// then says "click" with the act in its data-sends. `element`, `trigger`, `upload` and `watch` come from Gradio.
const AT_ONCE = 4;
let chosen = [];  // {file, name}: name with its folders, from which an age may be read
let busy = false;
const part = (name) => element.querySelector(`[data-part="${name}"]`);
const accepted = (name) => part('files').accept.split(',').some((end) => name.toLowerCase().endsWith(end));
const say = (text) => { part('said').textContent = text; };
const size = (bytes) => bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

function add(files) {
  const known = new Set(chosen.map(({file, name}) => `${name}|${file.size}`));
  const fresh = files.filter(({file, name}) => accepted(name) && !known.has(`${name}|${file.size}`));
  chosen = chosen.concat(fresh);
  const left = files.filter(({name}) => !accepted(name)).length;
  const bytes = chosen.reduce((sum, {file}) => sum + file.size, 0);
  const what = `${chosen.length.toLocaleString('en')} ${chosen.length === 1 ? 'file' : 'files'} chosen, ${size(bytes)}`;
  say((chosen.length ? `${what}.` : 'Nothing chosen yet.') + (left ? ` ${left} of another kind left out.` : ''));
  part('clear').hidden = !chosen.length;
}
function clear() {
  chosen = [];
  say('');
  part('clear').hidden = true;
  for (const input of element.querySelectorAll('input[type=file]')) input.value = '';
}

// A folder comes as a tree, and each of its folders in portions.
async function walk(entry, folder) {
  if (entry.isFile) {
    const file = await new Promise((found, failed) => entry.file(found, failed));
    return [{file, name: folder + file.name}];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((read, failed) => reader.readEntries(read, failed));
    if (!some.length) return found;
    for (const each of some) found.push(...await walk(each, `${folder}${entry.name}/`));
  }
}
function take(transfer) {
  const entries = [...(transfer.items || [])].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
  if (!entries.length) {
    add([...(transfer.files || [])].map((file) => ({file, name: file.name})));
    return;
  }
  say('Looking through the folders …');
  Promise.all(entries.map((entry) => walk(entry, ''))).then((found) => add(found.flat()))
    .catch(() => say('A folder could not be read; choose it with the button.'));
}

async function handOver() {
  const handed = [];
  const waiting = [...chosen];
  const failed = [];
  let done = 0;
  async function worker() {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      try {
        const {path} = await upload(next.file);
        handed.push({path, name: next.name});
      } catch { failed.push(next.name); }
      done += 1;
      say(`Handing over: ${done} of ${chosen.length} …`);
    }
  }
  await Promise.all(Array.from({length: AT_ONCE}, worker));
  return {handed, failed};
}

element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-browse]');
  if (button) part(button.dataset.browse).click();
  if (event.target.closest('[data-part=clear]')) clear();
});
element.addEventListener('change', (event) => {
  if (event.target.type !== 'file') return;
  add([...event.target.files].map((file) => ({file, name: file.webkitRelativePath || file.name})));
});
element.addEventListener('input', (event) => {
  // Telling faces apart needs a yes, and a name asks for it.
  if (event.target.name === 'person' && part('who')) {
    const named = event.target.value.trim() !== '';
    part('who').hidden = !named;
    part('consent').required = named;
    for (const spot of element.querySelectorAll('[data-name]')) spot.textContent = event.target.value.trim();
  }
});
element.addEventListener('drop', (event) => {
  event.preventDefault();
  event.stopPropagation();
  document.body.classList.remove('ea-dragging');
  take(event.dataTransfer);
});
element.addEventListener('dragover', (event) => event.preventDefault());
element.addEventListener('everyage:files', (event) => take(event.detail));
element.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (busy) return;
  const form = event.target;
  const fields = Object.fromEntries([...new FormData(form, event.submitter)].filter(([, value]) => typeof value === 'string'));
  busy = true;
  part('send').disabled = true;
  try {
    const {handed, failed} = await handOver();
    if (failed.length) say(`${failed.length} of ${chosen.length} files could not be handed over, such as ${failed[0]}.`);
    else if (handed.length) say('Handed over.');
    trigger('click', {act: form.dataset.sends, fields, files: handed});
  } finally {
    busy = false;
    part('send').disabled = false;
  }
});
// The server draws the form anew, with another number, once the import has begun.
watch('value', () => {
  clear();
  element.querySelector('form').reset();
  if (!part('who')) return;
  part('who').hidden = true;
  part('consent').required = false;
});
