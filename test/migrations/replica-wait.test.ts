import { expect, it } from 'vitest';
import type { ObservedReplica } from '../../src/database/replicas.ts';
import { trackReplicas } from '../../src/migrations/replica-wait.ts';

function seen(pid: number, of: Partial<ObservedReplica> = {}): ObservedReplica {
  const lag = { lagBytes: 0, lagMs: undefined };
  const place = { name: 'walreceiver', address: '10.0.0.1', state: 'streaming' };
  return { pid, ...place, ...lag, hasReplayed: false, ...of };
}

/** What the polls make of the replicas: `pid replayed|behind connected|gone`. */
function track(...polls: readonly (readonly ObservedReplica[])[]): readonly string[] {
  return polls
    .reduce<ReturnType<typeof trackReplicas>>((known, poll) => trackReplicas(known, poll), [])
    .map(({ pid, hasReplayed, isConnected }) => {
      return `${pid} ${hasReplayed ? 'replayed' : 'behind'} ${isConnected ? 'connected' : 'gone'}`;
    });
}

const replayed = { hasReplayed: true };

it.each<[claim: string, polls: readonly (readonly ObservedReplica[])[], expected: string[]]>([
  ['a replica that is there is known', [[seen(1)]], ['1 behind connected']],
  ['a replica that catches up', [[seen(1)], [seen(1, replayed)]], ['1 replayed connected']],
  ['a replica that disconnects stays known', [[seen(1)], []], ['1 behind gone']],
  [
    'a replica that disconnects after its replay has replayed',
    [[seen(1, replayed)], []],
    ['1 replayed gone'],
  ],
  [
    'a replica that connects again in another process is the same one',
    [[seen(1)], [], [seen(2)], [seen(2, replayed)]],
    ['2 replayed connected'],
  ],
  [
    'a new replica is waited for too',
    [[seen(1, replayed)], [seen(1), seen(3)]],
    ['1 replayed connected', '3 behind connected'],
  ],
  [
    'of two replicas with one name and address, each is known by its process',
    [[seen(1), seen(2)], [seen(2, replayed)]],
    ['1 behind gone', '2 replayed connected'],
  ],
  [
    'of two replicas with one name and address, the one that is gone takes the new process',
    [
      [seen(1), seen(2)],
      [seen(2, replayed), seen(3)],
    ],
    ['3 behind connected', '2 replayed connected'],
  ],
  [
    'another address is another replica',
    [[seen(1)], [seen(2, { address: '10.0.0.2' })]],
    ['1 behind gone', '2 behind connected'],
  ],
])('%s', (_claim, polls, expected) => {
  expect(track(...polls)).toEqual(expected);
});
