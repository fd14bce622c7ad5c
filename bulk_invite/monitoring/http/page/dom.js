// DOM helpers. Texts become text nodes only: names and codes are untrusted.

const SVG = "http://www.w3.org/2000/svg";

// Control, invisible and bidirectional characters are shown by their code point.
const INVISIBLE = /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

const CODE = /(`[^`]+`|--[a-z][a-z-]*)/u;

// Between the parts of `$.Lead.CountryCode`, `not_in_enum` and `postgresql:crm/rows`.
const BREAKS = /(?<=[._:/-])|(?<=[a-z])(?=[A-Z])/u;

const LONGEST_PART = 16;

export const plain = (text) =>
  String(text).replace(INVISIBLE, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);

const part = (text) => (text.length > LONGEST_PART ? make("span", { class: "long" }, text) : text);

/** A name or a path whose lines may break between its parts; only a long part is broken itself. */
export const breakable = (text) =>
  plain(text).split(BREAKS).flatMap((each, at) => (at ? [make("wbr"), part(each)] : [part(each)]));

/** A text in which `backticks` and --options are code. */
export const prose = (text) =>
  plain(text).split(CODE).flatMap((each, at) =>
    at % 2 ? [make("code", {}, each.replaceAll("`", ""))] : each.split(/(\S{17,})/u).map(part));

export const byId = (id) => document.getElementById(id);

/** Set the text of an element if it differs, so that screen readers do not repeat it. */
export function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

export function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Put terms and values into a <dl>, replacing only what has changed. */
export function define(id, pairs) {
  const list = byId(id);
  const terms = [...list.querySelectorAll("dt")].map((term) => term.textContent);
  if (String(terms) !== String(pairs.map(([term]) => term))) {
    list.replaceChildren(...pairs.map(([term]) => make("div", {}, make("dt", {}, term), make("dd"))));
  }
  list.querySelectorAll("dd").forEach((value, index) => {
    const [, text, note = ""] = pairs[index];
    if (value.dataset.said === `${text}\n${note}`) return;
    value.dataset.said = `${text}\n${note}`;
    value.replaceChildren(...breakable(text), ...(note ? [make("small", {}, note)] : []));
  });
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
