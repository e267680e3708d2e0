import { backupCommands } from './backup.ts';
import { benchmarkCommand } from './benchmark.ts';
import { cacheCommands } from './cache.ts';
import type { Entry } from './command.ts';
import { completionCommand } from './completion.ts';
import { dbCommands } from './db.ts';
import { doctorCommand } from './doctor.ts';
import { inspectCommands } from './inspect.ts';
import { migrateCommands } from './migrate.ts';
import { pricesCommands } from './prices.ts';
import { schemaCommands } from './schema.ts';
import { seedCommand } from './seed.ts';
import { testDbCommands } from './test-db.ts';
import { typesCommands } from './types.ts';

/** Every command of the program, in the order of its help. */
export const entries: readonly Entry[] = [
  migrateCommands,
  dbCommands,
  typesCommands,
  schemaCommands,
  seedCommand,
  pricesCommands,
  cacheCommands,
  benchmarkCommand,
  backupCommands,
  doctorCommand,
  inspectCommands,
  testDbCommands,
  completionCommand,
];
