import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { alarms, namedTriggers } from '../story/alarms.ts';
import { type Setting, strangersAt } from '../story/cast.ts';
import { seedIds } from '../story/identity.ts';

export const seeder: DevSeeder = {
  description: 'sent, failed and pending notifications of alerts',
  run: ({ merge, ...setting }) =>
    merge('alert_history', {
      rows: triggers(setting),
      total: namedTriggers + strangersAt(setting.scale),
      ids: seedIds('alert_history'),
    }),
};

function* triggers(setting: Setting): Generator<NewRow<'alert_history'>> {
  for (const { history } of alarms(setting)) yield* history;
}
