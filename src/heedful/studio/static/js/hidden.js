// Characters that are not seen, or turn the order of others; render.py says which, and why.
import { h } from "./dom.js";
import { t } from "./words.js";

const HIDDEN = new RegExp(
  "(\\u{1f3f4}[\\u{e0030}-\\u{e0039}\\u{e0061}-\\u{e007a}]{3,6}\\u{e007f})" +
  "|([\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e" +
  "\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}]" +
  "|(?<![#*0-9©®\\u203c-\\u3299\\u{1f000}-\\u{1faff}])[\\ufe0e\\ufe0f]" +
  "|(?<![\\u2200-\\u22ff\\u2a00-\\u2aff\\u3000-\\u9fff\\uf900-\\ufaff\\uff00-\\uff60\\u{20000}-\\u{3ffff}])" +
  "[\\ufe00-\\ufe0d\\u{e0100}-\\u{e01ef}])", "u");
const name = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/** A text with a mark in the place of each such character, as answers have it. */
export const marked = (text) => text.replaceAll("\r\n", "\n").split(HIDDEN).filter((part) => part !== undefined)
  .map((part) => (part && HIDDEN.exec(part)?.[2] === part ? h("mark", { title: t("item.hidden") }, name(part)) : part));
