element.addEventListener('click', (event) => {
  const asked = event.target.closest('[data-unit]');
  if (asked) trigger('look', {layer: asked.dataset.layer, unit: Number(asked.dataset.unit)});
});
