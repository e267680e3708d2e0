import { describe, expect, it } from 'vitest';
import { findManagedService } from '../../../src/backup/wal/managed.ts';
import { run } from '../../../src/backup/wal/run.ts';

describe('a managed service', () => {
  it.each([
    ['shop.c9akciq32.eu-central-1.rds.amazonaws.com', 'Amazon RDS'],
    ['shop.cluster-c9akciq32.eu-central-1.rds.amazonaws.com', 'Amazon Aurora'],
    ['/cloudsql/project:region:shop', 'Google Cloud SQL'],
    ['shop.postgres.database.azure.com', 'Azure Database for PostgreSQL'],
    ['abc.xyz.tsdb.cloud.timescale.com', 'Timescale Cloud'],
    ['db.example.com', undefined],
    ['rds.amazonaws.com.example.com', undefined],
    ['127.0.0.1', undefined],
  ])('is known by its host: %s', (host, name) => {
    expect(findManagedService({ hosts: [host] })?.name).toBe(name);
  });

  it.each([
    [{ settings: ['rds.extensions'] }, 'Amazon RDS'],
    [{ settings: ['cloudsql.iam_authentication'] }, 'Google Cloud SQL'],
    [{ settings: ['azure.extensions'] }, 'Azure Database for PostgreSQL'],
    [{ roles: ['tsdbadmin'] }, 'Timescale Cloud'],
    [{ settings: ['wal_level'], roles: ['postgres'] }, undefined],
  ])('is known behind any name by what it adds: %j', (signs, name) => {
    expect(findManagedService({ hosts: ['db.example.com'], ...signs })?.name).toBe(name);
  });

  it('is refused with its own way to a point in time, before anything is asked', async () => {
    const target = 'postgresql://u@shop.abc.eu-central-1.rds.amazonaws.com/shop';
    await expect(run({ kind: 'full', target })).rejects.toMatchObject({
      code: 'wal-unavailable',
      details: { service: 'Amazon RDS' },
      message: expect.stringContaining('restore-db-instance-to-point-in-time'),
    });
  });
});
