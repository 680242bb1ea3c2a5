// Asks the server how far the work is: as often as the part with data-poll says (milliseconds), and only while somebody
// can see the page. `element` and `trigger` come from Gradio.
let asked = 0;
setInterval(() => {
  const part = element.querySelector('[data-poll]');
  const page = element.closest('[role=tabpanel]');
  if (!part || document.hidden || (page && !page.offsetParent)) return;
  if (performance.now() - asked < Number(part.dataset.poll)) return;
  asked = performance.now();
  trigger('tick', {});
}, 200);
