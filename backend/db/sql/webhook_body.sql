-- What a message says is written down before it is first sent: every try has the same bytes.
UPDATE webhook_messages SET body = :body WHERE id = :id AND tries = :tries AND body IS NULL RETURNING id
