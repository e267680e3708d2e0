import type { Sql } from 'postgres';
import { expect, it } from 'vitest';
import { type DoctorOptions, examine, type Finding } from '../../../src/doctor/doctor.ts';
import type { Severity } from '../../../src/doctor/rule.ts';

/** A database that is sound but for what a test plants. */
export interface Place {
  /** What is examined. */
  readonly url: string;
  /** The same database as roles with fewer rights. */
  readonly otherUrls: readonly string[];
  readonly options: Omit<DoctorOptions, 'target' | 'only'>;
  /** Runs statements as a superuser, each in a transaction of its own. Their counts reach the server. */
  readonly run: (...statements: readonly string[]) => Promise<void>;
}

/** A fault that one rule finds. */
export interface Planting<Of extends Place = Place> {
  readonly rule: string;
  /** A clause that ends the name of the test. */
  readonly fault: string;
  readonly severity: Severity;
  readonly plant: (place: Of) => Promise<unknown>;
  /** Removes the fault. Default: runs the statements of the hint as they are printed. */
  readonly repair?: (place: Of, hint: string) => Promise<unknown>;
}

/** The statements at the end of a hint: those after its last colon, or all of it. */
export function statementsOf(hint: string): readonly string[] {
  return hint.slice(hint.lastIndexOf(': ') + 1).split('; ');
}

/** A fault that cannot be planted in a sound database, and is there from the start or stays. */
export interface Sighting<Place> {
  readonly rule: string;
  readonly fault: string;
  readonly severity: Severity;
  /** The URL of a database that has the fault. */
  readonly show: (place: Place) => Promise<string>;
}

const patience = { timeout: 30_000, interval: 20 };

/**
 * A test for each fault in a sound database: the rule reports the planted fault, and is quiet after the repair. A role
 * with fewer rights gets the same finding, or is told that it cannot see.
 */
export function testPlantings<Of extends Place>(
  plantings: readonly Planting<Of>[],
  getPlace: () => Of,
): void {
  for (const { rule, fault, severity, plant, repair = repairAsPrinted } of plantings) {
    it(`${rule} finds ${fault}`, async () => {
      const place = getPlace();
      const judge = (target: string) => examine({ ...place.options, target, only: [rule] });
      await plant(place);
      let found: readonly Finding[] = [];
      const find = async () => {
        found = (await judge(place.url)).findings;
        return found;
      };
      await expect.poll(find, patience).toMatchObject([{ rule, severity }]);
      for (const url of place.otherUrls) {
        const { findings, unseen } = await judge(url);
        expect([
          ...findings.map((each) => each.rule),
          ...unseen.flatMap(({ rules }) => rules),
        ]).toEqual([rule]);
      }
      const [{ hint = '' } = {}] = found;
      await repair(place, hint);
      await expect.poll(async () => (await judge(place.url)).sound, patience).toEqual([rule]);
    });
  }
}

/** A test for each fault that is there. */
export function testSightings<Place>(
  sightings: readonly Sighting<Place>[],
  getPlace: () => Place,
): void {
  for (const { rule, fault, severity, show } of sightings) {
    it(`${rule} finds ${fault}`, async () => {
      const { findings } = await examine({ target: await show(getPlace()), only: [rule] });
      expect(findings).toContainEqual(expect.objectContaining({ rule, severity }));
    });
  }
}

async function repairAsPrinted({ run }: Place, hint: string): Promise<void> {
  await run(...statementsOf(hint));
}

/** What `run` of a place does, on one connection that opens again when the server was restarted. */
export function runnerOf(sql: Sql): Place['run'] {
  return async (...statements) => {
    for (const statement of statements) await sql.unsafe(statement);
    await sql`select pg_stat_force_next_flush()`;
  };
}
