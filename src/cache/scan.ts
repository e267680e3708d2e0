import type { NodeSend } from './connection.ts';
import { type KeyName, keyspace, type Part, scanPattern } from './keyspace.ts';

/** How many keys one SCAN looks at. The server does nothing else meanwhile. */
const pageSize = 1_000;

/** The keys of a name on one server, page by page. A key may come twice, as with SCAN. */
export async function* scanKeys(
  send: NodeSend,
  name: KeyName,
  prefix: string,
): AsyncGenerator<readonly string[]> {
  let cursor = '0';
  do {
    const pattern = scanPattern(name, prefix);
    const reply = await send('SCAN', cursor, 'MATCH', pattern, 'COUNT', String(pageSize));
    const [next, keys] = Array.isArray(reply) ? reply : ['0', []];
    cursor = String(next);
    if (Array.isArray(keys) && keys.length > 0) yield keys.map(String);
  } while (cursor !== '0');
}

export const keyNames = Object.keys(keyspace).filter((name): name is KeyName =>
  Object.hasOwn(keyspace, name),
);

export function keyNamesOf(part: Part): readonly KeyName[] {
  return keyNames.filter((name) => keyspace[name].part === part);
}
