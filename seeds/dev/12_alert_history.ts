import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { alarms, namedTriggers } from '../story/alarms.ts';
import { type Setting, strangersAt } from '../story/cast.ts';
import { seedIds } from '../story/identity.ts';

export const seeder: DevSeeder = {
  description: 'what the alerts sent, failed to send and still owe',
  run: async ({ db, load, ...setting }) => {
    const { from, to } = seedIds('alert_history');
    await db.deleteFrom('alert_history').where('id', '>=', from).where('id', '<=', to).execute();
    const total = namedTriggers + strangersAt(setting.scale);
    await load('alert_history', { rows: triggers(setting), total });
  },
};

function* triggers(setting: Setting): Generator<NewRow<'alert_history'>> {
  for (const { history } of alarms(setting)) yield* history;
}
