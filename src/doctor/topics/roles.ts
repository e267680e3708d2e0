import { quoteIdentifier, type Session } from '../../database/connection.ts';
import { type Diagnosis, type Reading, reading, type Topic } from '../rule.ts';

export interface Roles {
  /** Roles that can log in and may do more than use tables. The role that made the cluster is left out. */
  readonly powerful: readonly PowerfulRole[];
  /** Roles with an MD5 password; undefined where the role may not see passwords. */
  readonly md5: readonly string[] | undefined;
  /** Whether every role may create objects in schema public. */
  readonly isPublicOpen: boolean;
}

export interface PowerfulRole {
  readonly role: string;
  /** Attributes of the role itself. */
  readonly powers: readonly ('SUPERUSER' | 'CREATEROLE' | 'BYPASSRLS')[];
  /** Roles that it is a member of, and that are superusers, have the files of the server, or are members of such. */
  readonly groups: readonly string[];
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
  // The three roles can be used to become a superuser (PostgreSQL documentation, "Predefined Roles").
  const powerful = await sql<PowerfulRole[]>`
    with mighty as (
      select oid, rolsuper from pg_roles where rolsuper
        or rolname in ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files')
    ), power as (
      select rolname as role, array_remove(array[
        case when rolsuper then 'SUPERUSER' end,
        case when rolcreaterole and not rolsuper then 'CREATEROLE' end,
        case when rolbypassrls and not rolsuper then 'BYPASSRLS' end
      ], null) as powers,
      array(
        select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
        where m.member = r.oid and not r.rolsuper and exists (
          select from mighty where mighty.oid = g.oid or pg_has_role(g.oid, mighty.oid, 'member')
        )
        order by 1
      ) as groups
      from pg_roles r where rolcanlogin and oid <> 10
    )
    select * from power where cardinality(powers) + cardinality(groups) > 0 order by 1`;
  const [{ maySee, isPublicOpen }] = await sql<[{ maySee: boolean; isPublicOpen: boolean }]>`
    select has_table_privilege('pg_authid', 'select') as "maySee",
      (select coalesce(bool_or(acl.grantee = 0 and acl.privilege_type = 'CREATE'), false)
        from pg_namespace n, aclexplode(n.nspacl) acl where n.nspname = 'public') as "isPublicOpen"`;
  const md5 = maySee
    ? await sql<
        { role: string }[]
      >`select rolname as role from pg_authid where rolpassword like 'md5%' order by 1`
    : undefined;
  const facts = { powerful, md5: md5?.map(({ role }) => role), isPublicOpen };
  if (facts.md5 !== undefined) return reading(facts);
  return reading(facts, [
    {
      rules: ['md5-passwords'],
      reason: 'the role may not see how passwords are stored',
      remedy: 'ask as a superuser',
    },
  ]);
}

/** One finding for all who are superusers or can become one, and one for the others. */
function judgePowers({ powerful }: Roles): readonly Diagnosis[] {
  const isMighty = ({ powers, groups }: PowerfulRole) =>
    powers.includes('SUPERUSER') || groups.length > 0;
  const mighty = powerful.filter(isMighty);
  const others = powerful.filter((each) => !isMighty(each));
  const describe = ({ role, powers, groups }: PowerfulRole) =>
    `${role}: ${[...powers, ...groups.map((group) => `member of ${group}`)].join(', ')}`;
  const take = (each: PowerfulRole) => revocations(each).join('; ');
  return [
    ...(mighty.length === 0
      ? []
      : [
          {
            severity: 'warning' as const,
            message: `roles can log in and are superusers, or can become one: ${mighty.map(({ role }) => role).join(', ')}`,
            evidence: mighty.map(describe),
            hint: `a service needs rights on its tables only: ${mighty.map(take).join('; ')}`,
          },
        ]),
    ...(others.length === 0
      ? []
      : [
          {
            severity: 'note' as const,
            message: 'roles can log in and do more than use tables',
            evidence: others.map(describe),
            hint: `take away what no service needs: ${others.map(take).join('; ')}`,
          },
        ]),
  ];
}

function revocations({ role, powers, groups }: PowerfulRole): readonly string[] {
  const name = quoteIdentifier(role);
  const attributes = powers.map((power) => `no${power.toLowerCase()}`);
  return [
    ...(attributes.length === 0 ? [] : [`alter role ${name} ${attributes.join(' ')}`]),
    ...groups.map((group) => `revoke ${quoteIdentifier(group)} from ${name}`),
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
