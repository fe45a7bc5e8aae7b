// Every sentence that a rater reads, in the language of the page. Texts alone: none of them ever becomes HTML.

const { lang } = document.documentElement;
const words = JSON.parse(document.body.dataset.words);
const region = navigator.languages.find((one) => one.split("-")[0] === lang.split("-")[0]) || lang; // de-CH writes 1’000
const numbers = new Intl.NumberFormat(region);
const counting = new Intl.PluralRules(lang);

/** The sentence of a key, with the values in the place of its {names}; where it counts, in the form that {n} asks for. */
export function t(key, values = {}) {
  const said = words[key];
  const sentence = typeof said === "string" ? said : said[counting.select(values.n)] ?? said.other;
  return sentence.replace(/\{([a-z]+)\}/g, (whole, name) => (typeof values[name] === "number" ? numbers.format(values[name]) : values[name] ?? whole));
}

/** A number, as the reader writes numbers. */
export const number = (value) => numbers.format(value);

/** A time, in seconds since 1970. */
export const when = (seconds) => (seconds ? new Date(1000 * seconds).toLocaleString(region) : "–");
