-- What members save in their workspaces: segments by name, and annotations of what happened.

CREATE TABLE analytics.segments (
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    definition jsonb,
    users analytics.user_set,
    description text NOT NULL DEFAULT '',
    created_by uuid DEFAULT analytics.current_user_id(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, name),
    CONSTRAINT segments_name CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT segments_description CHECK (char_length(description) <= 2000),
    CONSTRAINT segments_definition CHECK (jsonb_typeof(definition) = 'object' AND octet_length(definition::text) <= 65536),
    CONSTRAINT segments_meaning CHECK (num_nonnulls(definition, users) = 1)
);
COMMENT ON TABLE analytics.segments IS
    'saved segments of a workspace: {"segment": "name"} in a question. Either a definition, evaluated when it is asked, or a set that stays as it is';
COMMENT ON COLUMN analytics.segments.workspace_id IS
    'workspace';
COMMENT ON COLUMN analytics.segments.name IS
    'what questions call it, 1 to 100 characters';
COMMENT ON COLUMN analytics.segments.definition IS
    'segment as in doc/questions.md, an object of at most 65,536 bytes; NULL where users are given';
COMMENT ON COLUMN analytics.segments.users IS
    'user_number of its users, for those who may read the workspace''s raw events. NULL where a definition is given';
COMMENT ON COLUMN analytics.segments.description IS
    'free text, at most 2,000 characters';
COMMENT ON COLUMN analytics.segments.created_by IS
    'user who made it; NULL: nobody known';
COMMENT ON COLUMN analytics.segments.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.segments.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.segments_pkey IS
    'serves: the segment of a name, WHERE workspace_id = ... AND name = ...';
COMMENT ON CONSTRAINT segments_name ON analytics.segments IS
    'names are short texts';
COMMENT ON CONSTRAINT segments_description ON analytics.segments IS
    'descriptions are bounded';
COMMENT ON CONSTRAINT segments_definition ON analytics.segments IS
    'as large as a question may be';
COMMENT ON CONSTRAINT segments_meaning ON analytics.segments IS
    'a definition or a set';
ALTER TABLE analytics.segments ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.segments', '');

CREATE FUNCTION analytics_internal.sign_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.created_by := coalesce(NEW.created_by, analytics.current_user_id());
    NEW.created_at := coalesce(NEW.created_at, now());
    NEW.updated_at := coalesce(NEW.updated_at, now());
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.sign_row() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.sign_row() IS
    'row trigger: who made a row and when. On Citus these columns have no default, see drop_defaults()';

-- Who is in a stored set is about persons: it is stored and seen by those who may read raw events. By its name all members
-- ask about it.
CREATE POLICY member_reads ON analytics.segments FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids())
           AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())));
COMMENT ON POLICY member_reads ON analytics.segments IS
    'members read definitions of their workspaces, sets where they may read raw events';
CREATE POLICY member_inserts ON analytics.segments FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids())
                AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())));
COMMENT ON POLICY member_inserts ON analytics.segments IS
    'members save definitions in their workspaces, sets where they may read raw events';
CREATE POLICY member_updates ON analytics.segments FOR UPDATE
    USING (workspace_id = ANY (analytics.workspace_ids())
           AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())))
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids())
                AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())));
COMMENT ON POLICY member_updates ON analytics.segments IS
    'members change what they may save, whoever made it';
CREATE POLICY member_deletes ON analytics.segments FOR DELETE
    USING (workspace_id = ANY (analytics.workspace_ids())
           AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())));
COMMENT ON POLICY member_deletes ON analytics.segments IS
    'members delete what they may save, whoever made it';

CREATE TRIGGER sign_row BEFORE INSERT ON analytics.segments
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.sign_row();
COMMENT ON TRIGGER sign_row ON analytics.segments IS
    'notes who made a row and when';
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON analytics.segments
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.touch_updated_at();
COMMENT ON TRIGGER touch_updated_at ON analytics.segments IS
    'keeps updated_at';
CREATE TRIGGER limit_segments AFTER INSERT ON analytics.segments
    FOR EACH ROW WHEN (row_security_active('analytics.segments'::text))
    EXECUTE FUNCTION analytics_internal.workspace_limit_check('segments_per_workspace');
COMMENT ON TRIGGER limit_segments ON analytics.segments IS
    'roles under row security save so many segments in a workspace at most. Setting segments_per_workspace';

CREATE TABLE analytics.annotations (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    starts_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz,
    title text NOT NULL,
    details text NOT NULL DEFAULT '',
    created_by uuid DEFAULT analytics.current_user_id(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT annotations_title CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT annotations_details CHECK (char_length(details) <= 5000),
    CONSTRAINT annotations_span CHECK (isfinite(starts_at) AND ends_at >= starts_at)
);
COMMENT ON TABLE analytics.annotations IS
    'what happened in or around a workspace: releases, campaigns, outages. analytics.report() shows them on their days';
COMMENT ON COLUMN analytics.annotations.workspace_id IS
    'workspace';
COMMENT ON COLUMN analytics.annotations.id IS
    'the annotation';
COMMENT ON COLUMN analytics.annotations.starts_at IS
    'when it happened, or began';
COMMENT ON COLUMN analytics.annotations.ends_at IS
    'when it was over; NULL: a moment, or not over yet';
COMMENT ON COLUMN analytics.annotations.title IS
    'one line, 1 to 200 characters';
COMMENT ON COLUMN analytics.annotations.details IS
    'free text, at most 5,000 characters';
COMMENT ON COLUMN analytics.annotations.created_by IS
    'user who made it; NULL: nobody known';
COMMENT ON COLUMN analytics.annotations.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.annotations.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.annotations_pkey IS
    'serves: the annotations of a workspace, which are few (setting annotations_per_workspace)';
COMMENT ON CONSTRAINT annotations_title ON analytics.annotations IS
    'titles are short texts';
COMMENT ON CONSTRAINT annotations_details ON analytics.annotations IS
    'details are bounded';
COMMENT ON CONSTRAINT annotations_span ON analytics.annotations IS
    'nothing ends before it began';
ALTER TABLE analytics.annotations ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.annotations', '');

CREATE POLICY member_reads ON analytics.annotations FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.annotations IS
    'members read their workspaces';
CREATE POLICY member_inserts ON analytics.annotations FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_inserts ON analytics.annotations IS
    'members annotate their workspaces';
CREATE POLICY member_updates ON analytics.annotations FOR UPDATE
    USING (workspace_id = ANY (analytics.workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_updates ON analytics.annotations IS
    'members change the annotations of their workspaces, whoever made them';
CREATE POLICY member_deletes ON analytics.annotations FOR DELETE
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_deletes ON analytics.annotations IS
    'members delete the annotations of their workspaces, whoever made them';

CREATE TRIGGER sign_row BEFORE INSERT ON analytics.annotations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.sign_row();
COMMENT ON TRIGGER sign_row ON analytics.annotations IS
    'notes who made a row and when';
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON analytics.annotations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.touch_updated_at();
COMMENT ON TRIGGER touch_updated_at ON analytics.annotations IS
    'keeps updated_at';
CREATE TRIGGER limit_annotations AFTER INSERT ON analytics.annotations
    FOR EACH ROW WHEN (row_security_active('analytics.annotations'::text))
    EXECUTE FUNCTION analytics_internal.workspace_limit_check('annotations_per_workspace');
COMMENT ON TRIGGER limit_annotations ON analytics.annotations IS
    'roles under row security make so many annotations in a workspace at most. Setting annotations_per_workspace';
