// Writing XML for libvirt: elements with escaped attributes and text, nothing else.
// Not here: what the elements mean (domain-xml, volume-xml, vm-metadata).

import { Fault } from '../../../ports/fault.ts';

/** An element that has been written already, and so is safe to put into another. */
export interface XmlText {
  readonly xml: string;
}

type Attributes = Readonly<Record<string, string | number | undefined>>;

/** A child is an element, a text (escaped here), or nothing. */
type Child = XmlText | string | number | undefined;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

/** What XML 1.0 cannot hold, not even escaped: control characters, lone surrogates, U+FFFE and U+FFFF. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNWRITABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/u;

/** @throws Fault `refused` for a character that XML cannot hold. */
export function escapeXml(text: string): string {
  if (UNWRITABLE.test(text)) {
    throw new Fault('refused', `${JSON.stringify(text)} has a character that cannot stand in XML`, {
      advice: 'Take control characters out of names, paths and kernel arguments.',
    });
  }
  return text.replace(/[&<>"'\t\n\r]/g, (character) => ENTITIES[character] ?? character);
}

/** `element('disk', { type: 'file' }, …children)`. Undefined attributes and children are left out. */
export function element(name: string, attributes: Attributes = {}, ...children: readonly Child[]): XmlText {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}='${escapeXml(String(value))}'`)
    .join('');
  const inside = children
    .map((child) => {
      if (child === undefined) return '';
      return typeof child === 'object' ? child.xml : escapeXml(String(child));
    })
    .join('');
  return { xml: inside === '' ? `<${name}${written}/>` : `<${name}${written}>${inside}</${name}>` };
}
