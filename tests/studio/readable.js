// What an automatic check can tell of a page: a list of faults, empty where there are none.
() => {
  const faults = [];
  const shown = (e) => e.checkVisibility?.({ visibilityProperty: true, opacityProperty: true }) && e.getBoundingClientRect().width > 1;
  const rgb = (text) => { const m = text.match(/[\d.]+/g).map(Number); return { c: m.slice(0, 3), a: m[3] ?? 1 }; };
  const luminance = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (let at = e; at; at = at.parentElement) { const { c, a } = rgb(getComputedStyle(at).backgroundColor); if (a === 1) return c; } return [255, 255, 255]; };
  const says = (e) => `${e.tagName.toLowerCase()}.${e.className} “${(e.textContent || "").trim().slice(0, 40)}”`;
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !shown(e) || e.closest("option, [disabled]")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [luminance(rgb(style.color).c), luminance(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${says(e)}`);
  }
  const named = (e) => e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim() || e.textContent.trim() || e.title;
  for (const e of document.querySelectorAll("button, a[href], input:not([type=hidden]), textarea, select")) {
    if (!shown(e)) continue;
    if (!named(e)) faults.push(`no name: ${says(e)}`);
    const box = e.getBoundingClientRect();
    if (!e.classList.contains("skip-link") && (box.width < 24 || box.height < 24) && !e.closest("p, .text, label, legend")) faults.push(`small: ${says(e)} ${box.width.toFixed()}×${box.height.toFixed()}`);
  }
  for (const e of document.querySelectorAll("button, select, input, textarea, fieldset, .scale")) {
    if (!shown(e) || e.closest(".scroll")) continue;
    const box = e.getBoundingClientRect();
    const words = document.createRange();
    words.selectNodeContents(e);
    const inside = e.matches("button") ? words.getBoundingClientRect() : box;
    const around = e.matches("button") ? box : e.closest(".card, .panel, dialog, main").getBoundingClientRect();
    if (inside.left < around.left - 1 || inside.right > around.right + 1) faults.push(`stands out: ${says(e)} ${inside.left.toFixed()}–${inside.right.toFixed()} of ${around.left.toFixed()}–${around.right.toFixed()}`);
  }
  if (document.querySelectorAll("h1").length !== 1) faults.push(`${document.querySelectorAll("h1").length} main headings`);
  for (const e of document.querySelectorAll("img:not([alt])")) faults.push(`no alt: ${e.src}`);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids.filter((one, i) => ids.indexOf(one) !== i))) faults.push(`two elements have the id ${id}`);
  if (!document.documentElement.lang) faults.push("the page has no language");
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} wide on a screen of ${innerWidth}`);
  return faults;
}
