import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { examine } from '../../src/doctor/doctor.ts';
import { statementsOf, testPlantings } from './plantings/planting.ts';
import {
  openReplicationPlace,
  primaryPlantings,
  type ReplicationPlace,
  standbyPlantings,
} from './plantings/replication.ts';
import { openServerPlace, type ServerPlace, serverPlantings } from './plantings/server.ts';

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

  it('standby-cut-off finds a standby that is cut off from its primary, which shows no lag', async () => {
    const judge = (target: string) =>
      examine({ target, only: ['standby-cut-off', 'standby-lags'] });
    expect((await judge(place.apart.url)).findings).toMatchObject([
      { rule: 'standby-cut-off', severity: 'critical' },
    ]);
    expect((await judge(place.standby.url)).findings).toEqual([]);
  });

  it('data-checksums-off finds a server without checksums', async () => {
    const { findings } = await examine({
      target: place.primary.url,
      only: ['data-checksums-off'],
    });
    expect(findings).toMatchObject([{ severity: 'note' }]);
  });

  it('fsync-off says that a setting of the command line has to change there', async () => {
    const { findings } = await examine({ target: place.primary.url, only: ['fsync-off'] });
    expect(findings).toMatchObject([{ hint: expect.stringContaining('-c fsync=') }]);
  });
});
