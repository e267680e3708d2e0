import { describe, expect, it } from 'vitest';
import {
  findTimescaleProblem,
  requireServerVersion,
  type TimescaleFacts,
} from '../../src/database/requirements.ts';
import { isError } from '../../src/runtime/errors.ts';

// Servers older than 15, and TimescaleDB's Apache edition, are not to be had from npm: what the
// server says of itself is given here.
describe('requireServerVersion', () => {
  const facts = {
    database: 'db',
    user: 'me',
    isReadOnly: false,
    isStandby: false,
    isPooled: false,
  };

  it.each([96_024, 140_012, 149_999])('refuses server_version_num %i', (version) => {
    expect(() => requireServerVersion({ server: { ...facts, version } })).toThrow(
      expect.toSatisfy((error: unknown) => isError(error, 'server-unsuitable')),
    );
  });

  it.each([150_000, 150_020, 180_001])('accepts server_version_num %i', (version) => {
    expect(() => requireServerVersion({ server: { ...facts, version } })).not.toThrow();
  });
});

describe('findTimescaleProblem', () => {
  const fit: TimescaleFacts = {
    installed: '2.28.3',
    available: '2.28.3',
    isPreloaded: true,
    license: 'timescale',
  };

  it.each<[string, Partial<TimescaleFacts>]>([
    ['installed', {}],
    ['the oldest that is supported', { installed: '2.11.0', available: '2.11.0' }],
    ['available and still to be created', { installed: null, license: null }],
    ['installed in a version newer than the files', { installed: '3.0.1', available: '2.9.0' }],
  ])('accepts a TimescaleDB that is %s', (_, facts) => {
    expect(findTimescaleProblem({ ...fit, ...facts })).toBeUndefined();
  });

  it.each<[string, Partial<TimescaleFacts>, RegExp]>([
    ['missing', { installed: null, available: null, license: null }, /does not have TimescaleDB/],
    ['too old', { installed: '2.10.3' }, /TimescaleDB 2\.10\.3; 2\.11 or later/],
    ['too old a major version', { installed: '1.7.5' }, /TimescaleDB 1\.7\.5/],
    ['too old, and not created yet', { installed: null, available: '2.9.1' }, /2\.9\.1/],
    ['not preloaded', { installed: null, isPreloaded: false, license: null }, /not loaded/],
    ['under its Apache licence', { license: 'apache' }, /Apache licence/],
    ['under Apache, not created yet', { installed: null, license: 'apache' }, /Apache licence/],
  ])('returns the remedy for a TimescaleDB that is %s', (_, facts, message) => {
    const problem = findTimescaleProblem({ ...fit, ...facts });
    expect(problem?.message).toMatch(message);
    expect(problem?.hint).toMatch(/\S/);
  });
});
