import type { Session } from '../../database/connection.ts';
import { type Diagnosis, type Reading, reading, type Topic } from '../rule.ts';

export interface Roles {
  /** Roles that can log in, and what they may do beyond tables. The role that made the cluster is left out. */
  readonly powerful: readonly { readonly role: string; readonly powers: readonly string[] }[];
  /** Roles with an MD5 password; undefined where the role may not see passwords. */
  readonly md5: readonly string[] | undefined;
  /** Whether every role may create objects in schema public. */
  readonly isPublicOpen: boolean;
}

export const roles: Topic<Roles, Session> = {
  name: 'roles',
  read: readRoles,
  rules: [
    {
      name: 'powerful-roles',
      judge: judgePowers,
    },
    { name: 'md5-passwords', judge: judgePasswords },
    {
      name: 'public-schema-open',
      judge: ({ isPublicOpen }) =>
        isPublicOpen
          ? {
              severity: 'warning',
              message:
                'every role may create functions and tables in schema public, which others then run',
              hint: 'revoke create on schema public from public',
            }
          : undefined,
    },
  ],
};

async function readRoles({ sql }: Session): Promise<Reading<Roles>> {
  const powerful = await sql<{ role: string; powers: readonly string[] }[]>`
    with power as (
      select rolname as role, oid, array_remove(array[
        case when rolsuper then 'SUPERUSER' end,
        case when rolcreaterole and not rolsuper then 'CREATEROLE' end,
        case when rolbypassrls and not rolsuper then 'BYPASSRLS' end,
        case when not rolsuper and pg_has_role(oid, 'pg_execute_server_program', 'member')
          then 'pg_execute_server_program' end,
        case when not rolsuper and pg_has_role(oid, 'pg_write_server_files', 'member') then 'pg_write_server_files' end
      ], null) as powers
      from pg_roles where rolcanlogin
    )
    select role, powers from power where cardinality(powers) > 0 and oid <> 10 order by 1`;
  const [{ maySee, isPublicOpen }] = await sql<[{ maySee: boolean; isPublicOpen: boolean }]>`
    select has_table_privilege('pg_authid', 'select') as "maySee",
      (select coalesce(bool_or(acl.grantee = 0 and acl.privilege_type = 'CREATE'), false)
        from pg_namespace n, aclexplode(n.nspacl) acl where n.nspname = 'public') as "isPublicOpen"`;
  const md5 = maySee
    ? await sql<
        { role: string }[]
      >`select rolname as role from pg_authid where rolpassword like 'md5%' order by 1`
    : undefined;
  return reading({ powerful, md5: md5?.map(({ role }) => role), isPublicOpen });
}

/** One finding for all superusers, and one for the others. */
function judgePowers({ powerful }: Roles): readonly Diagnosis[] {
  const isSuper = ({ powers }: (typeof powerful)[number]) => powers.includes('SUPERUSER');
  const superusers = powerful.filter(isSuper);
  const others = powerful.filter((each) => !isSuper(each));
  return [
    ...(superusers.length === 0
      ? []
      : [
          {
            severity: 'warning' as const,
            message: `roles can log in as superusers: ${superusers.map(({ role }) => role).join(', ')}`,
            hint: 'a service needs rights on its tables only: alter role NAME nosuperuser',
          },
        ]),
    ...(others.length === 0
      ? []
      : [
          {
            severity: 'note' as const,
            message: 'roles can log in and do more than use tables',
            evidence: others.map(({ role, powers }) => `${role}: ${powers.join(', ')}`),
            hint: 'take away what no service needs: alter role NAME nocreaterole nobypassrls, or revoke the membership',
          },
        ]),
  ];
}

function judgePasswords({ md5 }: Roles): Diagnosis | undefined {
  if (md5 === undefined || md5.length === 0) return undefined;
  return {
    severity: 'warning',
    message: `passwords are stored as MD5: ${md5.join(', ')}`,
    evidence: ['who reads the hash can log in with it, and PostgreSQL will drop MD5'],
    hint: "set password_encryption = 'scram-sha-256', then give each role its password again: \\password ROLE",
  };
}
