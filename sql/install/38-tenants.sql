-- Where memberships come from. No row: the defaults, which are those of the columns.
CREATE TABLE analytics.membership (
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT membership_single_row CHECK (id),
    source text NOT NULL DEFAULT 'relation' CONSTRAINT membership_source CHECK (source IN ('relation', 'claim')),
    relation text NOT NULL DEFAULT 'public.workspace_members'
        CONSTRAINT membership_relation_qualified CHECK (cardinality(parse_ident(relation)) = 2),
    workspace_column text NOT NULL DEFAULT 'workspace_id',
    user_column text NOT NULL DEFAULT 'user_id',
    role_column text,
    manager_roles text[] NOT NULL DEFAULT '{owner,admin}'
);
ALTER TABLE analytics.membership ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.membership', '');
COMMENT ON TABLE analytics.membership IS
    'where analytics.workspace_ids() finds who is a member of which workspace; at most one row, changed by the owner only; without one the defaults hold';
COMMENT ON COLUMN analytics.membership.id IS
    'always true: there is one row';
COMMENT ON COLUMN analytics.membership.source IS
    'relation: read the relation; claim: the array app_metadata.workspaces in request.jwt.claims (never user_metadata, which users edit)';
COMMENT ON COLUMN analytics.membership.relation IS
    'schema-qualified table or view with one row per member, as SQL writes it; read with its owner''s rights; missing or malformed: nobody has workspaces';
COMMENT ON COLUMN analytics.membership.workspace_column IS
    'its column with the workspace (uuid, or text that is one), as it is stored, without quotes';
COMMENT ON COLUMN analytics.membership.user_column IS
    'its column with the user (uuid or text), as it is stored, without quotes';
COMMENT ON COLUMN analytics.membership.role_column IS
    'its column with the role of the member in the workspace; NULL: members have no roles, each manages alert rules and none sees others'' raw events by role';
COMMENT ON COLUMN analytics.membership.manager_roles IS
    'roles that may manage a workspace''s alert rules and, with raw_events_visible_to = roles, read its raw events';

CREATE TABLE analytics.access_roles (
    role_name text PRIMARY KEY,
    audience text NOT NULL CONSTRAINT access_roles_audience CHECK (audience IN ('anonymous', 'member', 'service', 'operator'))
);
ALTER TABLE analytics.access_roles ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.access_roles', '');
COMMENT ON TABLE analytics.access_roles IS
    'database roles that analytics.setup_roles() and analytics.grant_operator() have granted something, for analytics.security_audit()';
COMMENT ON COLUMN analytics.access_roles.role_name IS
    'name of the database role';
COMMENT ON COLUMN analytics.access_roles.audience IS
    'anonymous (nothing), member (its workspaces), service (everything but settings), operator (maintenance functions)';

CREATE TABLE analytics.ip_secret (
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT ip_secret_single_row CHECK (id),
    version integer NOT NULL DEFAULT 1 CONSTRAINT ip_secret_version CHECK (version > 0),
    secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        CONSTRAINT ip_secret_length CHECK (length(secret) = 48),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE analytics.ip_secret ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.ip_secret', '');
COMMENT ON TABLE analytics.ip_secret IS
    'the key of user_activity.ip_hash, made on first use; read by nobody but the owner; analytics.rotate_ip_secret() replaces it';
COMMENT ON COLUMN analytics.ip_secret.id IS
    'always true: there is one row';
COMMENT ON COLUMN analytics.ip_secret.version IS
    'counts the keys there have been; the first four bytes of an ip_hash';
COMMENT ON COLUMN analytics.ip_secret.secret IS
    'random bytes (from the server''s cryptographic generator)';
COMMENT ON COLUMN analytics.ip_secret.created_at IS
    'when this key was made';
