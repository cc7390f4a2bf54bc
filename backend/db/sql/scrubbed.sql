-- Of a row that nobody will read its inputs from again: links without their queries, which are often signatures.
input_uri = CASE WHEN input_uri ~* '^https?://' THEN regexp_replace(input_uri, '[?#].*$', '') ELSE input_uri END,
params = CAST(regexp_replace(CAST(params AS text), '(https?://(?:[^"?#\\]|\\.)*)[?#](?:[^"\\]|\\.)*', '\1', 'gi') AS jsonb),
output_put_url = NULL,
