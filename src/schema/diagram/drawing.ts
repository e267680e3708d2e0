import type { TableBox } from './boxes.ts';
import type { Reading, Reference } from './model.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface PlacedBox extends TableBox, Point {}

/** A line from the table that is referenced, or read, to the one that references, or reads. */
export interface Line {
  readonly of:
    | ({ readonly kind: 'reference' } & Reference)
    | ({ readonly kind: 'reading' } & Reading);
  /** Each stretch is horizontal or vertical; the first and the last are horizontal. */
  readonly points: readonly Point[];
}

/** Boxes and lines in their places. */
export interface Drawing {
  readonly boxes: readonly PlacedBox[];
  readonly lines: readonly Line[];
}

export interface Layout extends Drawing {
  readonly width: number;
  readonly height: number;
}

export const columnGap = 60;
export const rowGap = 22;
/** Between a line and a box that it passes. */
export const lineGap = 16;

/** The tables that a line starts and ends at. */
export function endsOf(of: Line['of']): readonly [from: string, to: string] {
  return of.kind === 'reference' ? [of.references, of.table] : [of.reads, of.view];
}
