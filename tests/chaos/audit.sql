-- Every write to the queue's two tables, by whom and in which order. Writers of one row wait for one another, so a row's
-- entries are in the order of its versions.
CREATE SCHEMA chaos;
CREATE TABLE chaos.moves (
    seq bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    writer text NOT NULL DEFAULT current_setting('application_name'),
    what text NOT NULL,
    id text NOT NULL,
    old jsonb,
    new jsonb NOT NULL
);
CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.moves (what, id, old, new)
    VALUES (TG_ARGV[0], NEW.id::text, to_jsonb(OLD) - 'probe' - 'params', to_jsonb(NEW) - 'probe' - 'params');
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON video_analysis_jobs
    FOR EACH ROW EXECUTE FUNCTION chaos.note('job');
CREATE TRIGGER note AFTER INSERT OR UPDATE ON video_analysis_chunks
    FOR EACH ROW EXECUTE FUNCTION chaos.note('chunk');
