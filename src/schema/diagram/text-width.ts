import { width } from '../../runtime/excerpt.ts';

/** Widths of letters in Arial, in thousandths of the font's size. */
const widths = new Map(
  (
    [
      ["ijl|'", 222],
      [' ft!/\\[].,:;I', 278],
      ['()r-`"', 333],
      ['cksvxyzJ', 500],
      ['abdeghnopqu0123456789_?$#L', 556],
      ['+=<>~', 584],
      ['FTZ', 611],
      ['ABEKPSVXY&', 667],
      ['wCDHNRU', 722],
      ['GOQ', 778],
      ['mM', 833],
      ['W%@', 944],
    ] as const
  ).flatMap(([letters, letterWidth]) => [...letters].map((letter) => [letter, letterWidth])),
);

/** Some fonts of the stack are a little wider than Arial. */
const reserve = 1.05;

/** About how wide a text is in a sans-serif font of this size, which no program without the font can know. */
export function textWidth(text: string, size: number): number {
  const letters = [...text].reduce(
    (sum, letter) => sum + (widths.get(letter) ?? 600 * width(letter)),
    0,
  );
  return (letters / 1000) * size * reserve;
}
