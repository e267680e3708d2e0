import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { examine, ruleNames } from '../../src/doctor/doctor.ts';
import { statementsOf, testPlantings, testSightings } from './plantings/planting.ts';
import {
  openReplicationPlace,
  primaryPlantings,
  type ReplicationPlace,
  replicationSightings,
  standbyPlantings,
} from './plantings/replication.ts';
import { openServerPlace, type ServerPlace, serverPlantings } from './plantings/server.ts';
import {
  openTimescalePlace,
  type TimescalePlace,
  timescalePlantings,
  timescaleServerPlantings,
  timescaleServerSightings,
} from './plantings/timescale.ts';

const timescaleUrl = inject('timescaleUrl');

describe('on a server', () => {
  let place: ServerPlace;
  beforeAll(async () => {
    place = await openServerPlace();
  });
  afterAll(() => place?.stop());
  beforeEach(() => place.tidy());

  it('the doctor is quiet where all is sound', async () => {
    const { findings, unseen } = await examine({ ...place.options, target: place.url });
    expect({ findings, unseen }).toEqual({ findings: [], unseen: [] });
  });

  testPlantings(serverPlantings, () => place);

  it.each(['role postgres', 'role postgres in database shop'])(
    'the doctor takes away what %s sets',
    async (where) => {
      const judge = () => examine({ target: place.url, only: ['random-page-cost'] });
      await place.run(`alter ${where} set random_page_cost = 4`);
      const [{ hint = '' } = {}] = (await judge()).findings;
      await place.run(...statementsOf(hint));
      expect((await judge()).findings).toEqual([]);
    },
  );
});

describe('on a primary and its standbys', () => {
  let place: ReplicationPlace;
  beforeAll(async () => {
    place = await openReplicationPlace();
  });
  afterAll(() => place?.stop());

  testPlantings(primaryPlantings, () => place.primary);
  testPlantings(standbyPlantings, () => place.standby);

  testSightings(replicationSightings, () => place);

  it('no rule about standbys finds the one that streams', async () => {
    const { findings } = await examine({
      target: place.standby.url,
      only: ['standby-cut-off', 'standby-lags'],
    });
    expect(findings).toEqual([]);
  });

  it('fsync-off says that a setting of the command line has to change there', async () => {
    const { findings } = await examine({ target: place.primary.url, only: ['fsync-off'] });
    expect(findings).toMatchObject([{ hint: expect.stringContaining('-c fsync=') }]);
  });
});

describe('in a database with TimescaleDB', () => {
  let place: TimescalePlace;
  beforeAll(async () => {
    place = await openTimescalePlace();
  });
  afterAll(() => place?.stop());
  beforeEach(() => place.tidy());

  testPlantings(timescalePlantings, () => place);
});

describe.skipIf(!timescaleUrl)(
  `on a server with TimescaleDB${timescaleUrl ? '' : ' (skipped: there is none)'}`,
  () => {
    let place: TimescalePlace;
    beforeAll(async () => {
      place = await openTimescalePlace();
    });
    afterAll(() => place?.stop());
    beforeEach(() => place.tidy());

    testPlantings(timescaleServerPlantings, () => place);

    testSightings(timescaleServerSightings, () => place);
  },
);

/** Rules whose fault no test can plant. test/doctor/rules.test.ts judges them by facts. */
const unplantable: Readonly<Record<string, string>> = {
  'timescaledb-license': 'the server takes it from its configuration file or command line alone',
  'timescaledb-update-due':
    'a session needs the files of the old release, and a server has those of one',
};

it('the fault of each rule is planted, or cannot be', () => {
  const planted = new Set(
    [
      ...serverPlantings,
      ...primaryPlantings,
      ...standbyPlantings,
      ...replicationSightings,
      ...timescalePlantings,
      ...timescaleServerPlantings,
      ...timescaleServerSightings,
    ].map(({ rule }) => rule),
  );
  // test/doctor/cache-rules.test.ts plants the faults of a cache.
  const wanted = ruleNames.filter((name) => !name.startsWith('cache-'));
  expect([...planted, ...Object.keys(unplantable)].sort()).toEqual([...wanted].sort());
});
