import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { examine } from '../../src/doctor/doctor.ts';
import { testPlantings } from './plantings/planting.ts';
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
});
