import { spawnSync } from 'node:child_process';

/** Why tests with psql do not run here; empty where they do. */
export const noPsql =
  spawnSync('psql', ['--version']).error === undefined ? '' : ' (skipped: psql is not installed)';

/** Runs a script as `psql --file=-` does, with the flags added. */
export function runPsql(url: string, script: string, flags: readonly string[] = []) {
  const given = ['--no-psqlrc', '--quiet', `--dbname=${url}`, ...flags, '--file=-'];
  const { status, stdout, stderr } = spawnSync('psql', given, { input: script, encoding: 'utf8' });
  return { code: status, stdout, stderr };
}
