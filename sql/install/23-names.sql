-- Names of workspaces and agents, for people. Ids decide everything else.

CREATE TABLE analytics.workspaces (
    workspace_id uuid PRIMARY KEY,
    name text NOT NULL CONSTRAINT workspaces_name CHECK (length(name) BETWEEN 1 AND 200)
);
ALTER TABLE analytics.workspaces ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.workspaces', '');
COMMENT ON TABLE analytics.workspaces IS
    'names of workspaces, for reports; a workspace needs no row. Written by the owner and the service role';
COMMENT ON COLUMN analytics.workspaces.workspace_id IS
    'workspace; the nil uuid is the group of events without a workspace';
COMMENT ON COLUMN analytics.workspaces.name IS
    'any text of 1 to 200 characters';
CREATE POLICY member_reads ON analytics.workspaces FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspaces IS
    'members read their workspaces';

CREATE TABLE analytics.agents (
    workspace_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    name text NOT NULL CONSTRAINT agents_name CHECK (length(name) BETWEEN 1 AND 200),
    first_seen timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (workspace_id, agent_id)
);
ALTER TABLE analytics.agents ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.agents', '');
COMMENT ON TABLE analytics.agents IS
    'names of agents, for reports; an agent needs no row. Agents that events name by text get theirs when their day is aggregated; the owner and the service role may change names and add others';
COMMENT ON COLUMN analytics.agents.workspace_id IS
    'workspace of the agent';
COMMENT ON COLUMN analytics.agents.agent_id IS
    'agent. Of one that events name by text the uuid v5 of "agent:" and the text in the namespace of workspace_id';
COMMENT ON COLUMN analytics.agents.name IS
    'any text of 1 to 200 characters';
COMMENT ON COLUMN analytics.agents.first_seen IS
    'start of the first UTC day whose events named the agent by text; of other rows when they were made';
CREATE POLICY member_reads ON analytics.agents FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.agents IS
    'members read their workspaces';
