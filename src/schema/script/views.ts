import type { SchemaObject } from '../snapshot/snapshot.ts';
import { commentOn, indexStatements, partsOf, relationWord } from './tables.ts';
import { listOf, optionsText, textOf } from './text.ts';
import { aggregateSettings } from './timescale.ts';

/** A view of any kind, its columns' settings, its indexes, and the comments of all. It has no rows yet. */
export function viewStatements(view: SchemaObject, timescale: string): readonly string[] {
  return [
    createView(view),
    ...(isAggregate(view) ? aggregateSettings(view, timescale) : []),
    ...columnStatements(view),
    ...commentOn(view),
    ...partsOf(view, 'index').flatMap((part) => indexStatements(part, view)),
  ];
}

function isAggregate({ facts }: SchemaObject): boolean {
  return facts.kind === 'continuous aggregate';
}

/** Whether it has been filled is part of the schema. */
export function refresh({ name, facts }: SchemaObject): readonly string[] {
  return facts.kind === 'materialized view' && !facts['not populated']
    ? [`REFRESH MATERIALIZED VIEW ${name};`]
    : [];
}

function createView(view: SchemaObject): string {
  const { name, facts } = view;
  const isStored = isAggregate(view) || facts.kind === 'materialized view';
  const options = [
    ...(isAggregate(view)
      ? [
          'timescaledb.continuous',
          `timescaledb.materialized_only = ${facts['materialized only'] ? 'TRUE' : 'FALSE'}`,
        ]
      : []),
    ...(listOf(facts, 'options').length === 0 ? [] : [optionsText(listOf(facts, 'options'))]),
  ];
  return [
    `CREATE ${isStored ? 'MATERIALIZED VIEW' : 'VIEW'} ${name}`,
    ...(options.length === 0 ? [] : [` WITH (${options.join(', ')})`]),
    ` AS\n${textOf(facts, 'query')}`,
    ...(isStored ? ['\nWITH NO DATA'] : []),
    ';',
  ].join('');
}

function columnStatements(view: SchemaObject): readonly string[] {
  const word = isAggregate(view) ? 'VIEW' : relationWord(view);
  return partsOf(view, 'column').flatMap(({ name, facts }) => {
    const storage = textOf(facts, 'storage');
    const options = listOf(facts, 'options');
    const changes = [
      ...(facts.default === undefined ? [] : [`SET DEFAULT ${facts.default}`]),
      ...(storage === undefined ? [] : [`SET STORAGE ${storage.toUpperCase()}`]),
      ...(facts.compression === undefined ? [] : [`SET COMPRESSION ${facts.compression}`]),
      ...(facts['statistics target'] === undefined
        ? []
        : [`SET STATISTICS ${facts['statistics target']}`]),
      ...(options.length === 0 ? [] : [`SET (${optionsText(options)})`]),
    ];
    return changes.map((change) => `ALTER ${word} ${view.name} ALTER COLUMN ${name} ${change};`);
  });
}
