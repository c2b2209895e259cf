/** Text in pictures that are XML. Pure. */

/** The text as XML may have it, in an attribute too; what XML cannot hold becomes U+FFFD. */
export function escaped(text: string): string {
  return text
    .replace(NEVER_IN_XML, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** Controls but tab and newlines, halves of pairs, and two that are no characters. */
// eslint-disable-next-line no-control-regex -- these are what is looked for
const NEVER_IN_XML = /[\0-\x08\v\f\x0E-\x1F\uFFFE\uFFFF]|\p{Surrogate}/gu;
