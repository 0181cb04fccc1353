"""Bytes over HTTP: one client with retries, checksums, uploads, downloads, and many of them side by side.

    client     HttpClient(base_url, *, credential, verify, timeout, retries)
                 .request(method, path, *, headers, content, json, expect, idempotent, want_json, timeout) -> Answer
                 .stream(path, *, headers) -> context of Stream; .requests, .overloads, .close()
    credential Credential(values, find).headers(), .renew(refused headers): looked up anew when it is refused
    pool       open_pool(base_url, verify): the connections under it, through the proxy of the environment
    access_token  fetch_access_token(refresh_token, *, token_url, client_id) -> text
    answer     Answer(status, headers, content, asked, attempts).json(), error_of(answer)
    hashing    hash_file(path) -> FileFacts, copy_and_hash(source, dest) -> FileFacts
    upload     put_file(client, path, object_path, facts, *, content_type, disposition, chunk_size, timeout, progress,
                 job, on_job) -> versioned path; stored_object(client, object_path) -> StoredObject | None
    download   get_file(client, path, dest, *, md5_hex, sha256_hex, length, progress, durable, mode) -> length
    parallel   run_parallel(jobs, worker, *, width, width_limit, overloads, work) -> list[Outcome]
    width      Width: how many at once, found by measuring

`progress` is told the bytes that are through since it was told last. This room does not know what the bytes mean.
"""
