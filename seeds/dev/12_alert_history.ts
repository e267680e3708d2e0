import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { alarms, namedTriggers } from '../story/alarms.ts';
import { type Setting, strangersAt } from '../story/cast.ts';
import { clearSeeded } from '../story/clear.ts';

export const seeder: DevSeeder = {
  description: 'sent, failed and pending notifications of alerts',
  run: async ({ db, load, ...setting }) => {
    await clearSeeded(db, 'alert_history');
    const total = namedTriggers + strangersAt(setting.scale);
    await load('alert_history', { rows: triggers(setting), total });
  },
};

function* triggers(setting: Setting): Generator<NewRow<'alert_history'>> {
  for (const { history } of alarms(setting)) yield* history;
}
