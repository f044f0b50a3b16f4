// Small pieces of page. Texts from other machines are only ever set as text, never as markup.

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const byId = (id) => document.getElementById(id);

/** @param {string} tag @param {Record<string, unknown>} [properties] @param {...(Node | string)} children */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

/** @param {string} name of a symbol in index.html */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/** @param {Element} holder of an icon @param {string} name */
export const setIcon = (holder, name) => holder.querySelector('use').setAttribute('href', `#i-${name}`);

/** Sets a slider between 0 and 1, and how far it is filled. @param {HTMLInputElement} slider @param {number} value */
export function slide(slider, value) {
  slider.value = String(value);
  slider.style.setProperty('--fill', `${value * 100}%`);
}

/** '3:07', '1:02:03' @param {number} seconds */
export function clock(seconds) {
  if (!Number.isFinite(seconds)) return '0:00';
  const whole = Math.max(0, Math.floor(seconds));
  const rest = String(whole % 60).padStart(2, '0');
  return whole < 3600 ? `${Math.floor(whole / 60)}:${rest}` : `${Math.floor(whole / 3600)}:${String(Math.floor(whole / 60) % 60).padStart(2, '0')}:${rest}`;
}

/** @param {number} count @param {string} one */
export const plural = (count, one) => `${count.toLocaleString()} ${one}${count === 1 ? '' : 's'}`;

/** Decimal, as disks are sold. @param {number} bytes */
export function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** unit;
  return `${value >= 100 || unit === 0 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`;
}

/** Colours for an album, the same each time. @param {{ album: string, artist: string, title: string }} song */
export function hue({ album, artist, title }) {
  let hash = 7;
  for (const sign of album ? album + artist : title) hash = (hash * 31 + sign.codePointAt(0)) % 3600;
  return hash / 10;
}

let hiding;

/** One line that goes away by itself. @param {string} text */
export function toast(text) {
  const box = byId('toast');
  box.textContent = text;
  box.classList.add('shown');
  clearTimeout(hiding);
  hiding = setTimeout(() => box.classList.remove('shown'), 4500);
}
