import { readdirSync } from 'node:fs';
import { compareText } from '../runtime/order.ts';
import { packagedTemplates } from '../runtime/package.ts';

export const rollbackSuffix = '_rollback.sql';

/** The names of the templates: `templates/NAME.sql`, each with its `NAME_rollback.sql`. */
export function templateNames(): readonly string[] {
  return readdirSync(packagedTemplates)
    .filter((name) => name.endsWith('.sql') && !name.endsWith(rollbackSuffix))
    .map((name) => name.slice(0, -'.sql'.length))
    .sort(compareText);
}
