import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { alarms, alertsEach, namedAlerts } from '../story/alarms.ts';
import { type Setting, strangersAt } from '../story/cast.ts';
import { seedIds } from '../story/identity.ts';

export const seeder: DevSeeder = {
  description: 'alerts of every kind: waiting, recurring, completed',
  run: ({ merge, ...setting }) =>
    merge('alerts', {
      rows: alerts(setting),
      total: namedAlerts + strangersAt(setting.scale) * alertsEach,
      ids: seedIds('alerts'),
    }),
};

function* alerts(setting: Setting): Generator<NewRow<'alerts'>> {
  for (const { alert } of alarms(setting)) yield alert;
}
