-- Optional, once in each database whose results are cached, as a superuser (event triggers need one):
--
--   psql -d app -f schema-events.sql
--
-- DDL in one transaction with changed rows leaves no trace of itself in what the server's log decodes to. Without this Headroom finds it by the
-- catalogue's fingerprint within a second; with this it is told with the commit, as of changed rows. Nothing is written but a message in the log.
CREATE OR REPLACE FUNCTION headroom_schema() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_catalog.pg_logical_emit_message(true, 'headroom.schema', ''); END $$;
DROP EVENT TRIGGER IF EXISTS headroom_schema;
CREATE EVENT TRIGGER headroom_schema ON ddl_command_end EXECUTE FUNCTION headroom_schema();
DROP EVENT TRIGGER IF EXISTS headroom_schema_drop;
CREATE EVENT TRIGGER headroom_schema_drop ON sql_drop EXECUTE FUNCTION headroom_schema();
