// The canvas: strokes -> the event 'drawn' with the pixels, while they are drawn, at most every SOON milliseconds.
const SOON = 40, SIDE = 112, WIDTH = 20, STEP = 8;
const canvas = element.querySelector('canvas');
const pen = canvas.getContext('2d');
const small = document.createElement('canvas');
small.width = small.height = SIDE;
const ink = small.getContext('2d');
let last = null, down = false, waiting = false, spot = { x: 140, y: 60 }, lowered = false, number = 0;

function wipe() {
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  delete canvas.dataset.drawn;
}
function tell() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    ink.drawImage(canvas, 0, 0, SIDE, SIDE);
    document.querySelector('#lesson iframe')?.remove(); // which is of the drawing before
    number += 1; // answers are of the latest only
    trigger('drawn', { number, pixels: small.toDataURL('image/png') });
  }, SOON);
}
function place(event) {
  const box = canvas.getBoundingClientRect();
  return { x: (event.clientX - box.left) * canvas.width / box.width, y: (event.clientY - box.top) * canvas.height / box.height };
}
function stroke(from, to) {
  canvas.dataset.drawn = '';
  pen.strokeStyle = pen.fillStyle = '#fff';
  pen.lineWidth = WIDTH;
  pen.lineCap = 'round';
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
  pen.beginPath(); // a line without length leaves no trace, a dab shall
  pen.arc(to.x, to.y, WIDTH / 2, 0, 2 * Math.PI);
  pen.fill();
  tell();
}
wipe();
canvas.addEventListener('pointerdown', (event) => {
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  down = true;
  last = place(event);
  stroke(last, last);
});
canvas.addEventListener('pointermove', (event) => {
  if (!down) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) {
    const next = place(part);
    stroke(last, next);
    last = next;
  }
});
for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => { down = false; });
canvas.addEventListener('keydown', (event) => {
  const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  if (event.key in moves) {
    const [x, y] = moves[event.key];
    const next = { x: Math.min(270, Math.max(10, spot.x + x)), y: Math.min(270, Math.max(10, spot.y + y)) };
    if (lowered) stroke(spot, next);
    spot = next;
  } else if (event.key === ' ') {
    lowered = !lowered;
    if (lowered) stroke(spot, spot);
  } else if (event.key === 'Delete' || event.key === 'Backspace') {
    wipe();
    tell();
  } else return;
  event.preventDefault();
});
element.querySelector('.clear').addEventListener('click', () => { wipe(); tell(); });
