import { findCacheUrl, findStore, surroundings, type TargetFlags } from '../config.ts';
import type { DoctorOptions } from '../doctor/doctor.ts';
import { renderExamination } from '../ui/doctor.ts';
import { storeFlags } from './backup.ts';
import { cacheUrlFlag } from './cache.ts';
import { defineCommand, flag, grouped } from './command.ts';
import { folderFlags, onDatabase, targetFlags } from './flags.ts';
import { names } from './values.ts';

const { store, endpoint } = storeFlags;

/** Of the command line: the store and the cache are named by flags, or by BACKUP_STORE and REDIS_URL. */
type DoctorFlags = Omit<DoctorOptions, 'store' | 'cache'> &
  TargetFlags & {
    readonly store?: string | undefined;
    readonly endpoint?: string | undefined;
    readonly cacheUrl?: string | undefined;
    readonly check?: true | undefined;
  };

export const doctorCommand = defineCommand<DoctorFlags>()({
  name: 'doctor',
  summary: 'find what will go wrong in a database, and say what to do',
  flags: {
    check: flag('--check', 'exit with code 1 for a critical finding or a warning'),
    only: flag('--only <rules>', 'some rules, such as job-fails,backup-stale', names),
    except: flag('--except <rules>', 'all rules but these, such as end-of-life', names),
    snapshot: flag(
      '--snapshot <file>',
      'also compare the schema with this file of: schema snapshot',
    ),
    ...targetFlags,
    ...folderFlags,
    ...grouped('Store:', { store, endpoint }),
    ...grouped('Cache:', { cacheUrl: cacheUrlFlag }),
  },
  conflicts: [['only', 'except']],
  notes: [
    'Changes nothing. What the role may not see is listed, with the GRANT that shows it.',
    'Backups are examined where --store or BACKUP_STORE names their store, and a cache where',
    '--cache-url or REDIS_URL names it. An empty --store or --cache-url leaves them out.',
    'docs/doctor.md says of each rule why it matters.',
  ],
  examples: [
    ['cryptosense-db doctor', 'every finding, the worst first'],
    ['cryptosense-db doctor --check --quiet', 'for a monitor'],
    ['cryptosense-db doctor --check --except end-of-life', 'without what is known'],
  ],
  run: async ({ check, store: place, endpoint: server, cacheUrl, ...given }, tools) => {
    const { examine } = await import('../doctor/doctor.ts');
    const named = findStore({ store: place }, surroundings(), { isNeeded: false });
    const result = await examine({
      ...onDatabase(given, tools),
      cache: findCacheUrl({ cacheUrl }, surroundings(), { isNeeded: false }),
      store: named === undefined ? undefined : { store: named, endpoint: server },
    });
    tools.output.result(result, renderExamination);
    if (check && !result.isSound) tools.answerNo();
  },
});
