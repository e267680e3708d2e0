import * as v from 'valibot';

/** A schema as data, in one form: two databases with the same schema have the same snapshot. */
export interface Snapshot extends Rights {
  readonly format: 1;
  /** In the order of `objectKinds`, then by name in bytes. */
  readonly objects: readonly SchemaObject[];
}

export const objectKinds = [
  'database',
  'extension',
  'schema',
  'type',
  'sequence',
  'function',
  'table',
  'view',
  'job',
  'publication',
  'event trigger',
] as const;
export type ObjectKind = (typeof objectKinds)[number];

export interface SchemaObject {
  readonly kind: ObjectKind;
  /** With its schema, quoted where it has to be: `public.users`; of a function with its arguments. */
  readonly name: string;
  readonly facts: Facts;
  /** Columns in the order of the relation, then the rest by kind and name. */
  readonly parts: readonly Part[];
}

export const partKinds = [
  'column',
  'constraint',
  'index',
  'trigger',
  'rule',
  'policy',
  'statistics',
] as const;
export type PartKind = (typeof partKinds)[number];

/** What belongs to a table or a view. */
export interface Part {
  readonly kind: PartKind;
  /** Quoted where it has to be. */
  readonly name: string;
  readonly facts: Facts;
}

/** What is said of an object. A fact that is as usual is left out: a column that is not generated has no such fact. */
export type Facts = Readonly<Record<string, Fact>>;
export type Fact = string | number | boolean | readonly string[];

/** The text of a snapshot file: the same bytes for equal snapshots. */
export function printSnapshot(snapshot: Snapshot): string {
  return `${JSON.stringify(snapshot, null, 2)}\n`;
}

/** What a snapshot has besides the schema itself. */
export interface Rights {
  /** Also who owns each object. */
  readonly owners: boolean;
  /** Also what is granted to others than the owner, and the default privileges. */
  readonly grants: boolean;
}

const fact = v.union([v.string(), v.number(), v.boolean(), v.array(v.string())]);
const facts = v.record(v.string(), fact);
const snapshotSchema = v.strictObject({
  format: v.literal(1),
  owners: v.boolean(),
  grants: v.boolean(),
  objects: v.array(
    v.strictObject({
      kind: v.picklist(objectKinds),
      name: v.string(),
      facts,
      parts: v.array(v.strictObject({ kind: v.picklist(partKinds), name: v.string(), facts })),
    }),
  ),
});

/** Reads the text of a snapshot file; undefined for any other text. */
export function parseSnapshot(text: string): Snapshot | undefined {
  try {
    const parsed = v.safeParse(snapshotSchema, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
