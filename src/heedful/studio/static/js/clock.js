// Time at work: the page is in view, and was used within the last minute.
const IDLE = 60000; // milliseconds

let touched = Date.now();
let seconds = 0;
for (const kind of ["keydown", "pointerdown", "pointermove", "scroll"]) addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
setInterval(() => { if (!document.hidden && Date.now() - touched < IDLE) seconds += 1; }, 1000);

/** Count anew from here. */
export const restart = () => { seconds = 0; };
/** Seconds at work since then. */
export const worked = () => seconds;
