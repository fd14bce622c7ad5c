-- The rows to send. A trigger notifies the sender of each insert.
CREATE TABLE invitations (id bigserial PRIMARY KEY, request jsonb NOT NULL);

CREATE FUNCTION notify_sender() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY bulk_invite; RETURN NULL; END $$;
CREATE TRIGGER notify_sender AFTER INSERT OR UPDATE ON invitations FOR EACH STATEMENT EXECUTE FUNCTION notify_sender();
