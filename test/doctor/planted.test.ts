import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { examine } from '../../src/doctor/doctor.ts';
import { statementsOf, testPlantings } from './plantings/planting.ts';
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
