"""ERMrest and Hatrac, one catalog concept a file. Every function takes an open `Catalog` first.

connection    open_catalog(address, *, settings, credential), catalog_for(address), keep_catalog(catalog);
              Catalog: .address .client .base_url .model (GET /schema) .schema .dialect .deriva .path() .refresh()
creation      create.create_ml_catalog(hostname, project_name, *, catalog_alias, settings, credential) -> Address
rows          get_rows(path, *, snapshot), insert_rows(ref, rows, *, skip_conflicts, defaults, nondefaults, repeatable),
              insert_with_rid(ref, rid, values, *, same), update_rows(ref, rows, *, match, change), delete_rows(path),
              swap_column(ref, rid, column, *, expected, target, also) -> bool, lease_rids(tokens), new_token(),
              rows_where_any(ref, column, values), row_by_rid(ref, rid), snaptime()
urls          table_name, column_list, equals, any_of, batches_of_values: every name and value is encoded there
schema        find_table(name), ml_table(name), is_vocabulary, is_asset, foreign_keys_to, associations_of,
              association_between, domain_schemas, default_schema; Table, ForeignKey, Association
dialect       Dialect, read_status(dialect, text, detail), write_status, write_detail, read_detail, stored_texts
documents     column(name, typename, *, nullok, default, …), key, foreign_key, table_document, vocabulary, asset,
              association; tables.create_tables(documents), tables.create_schema(name)
vocabulary    create_vocabulary(name, comment, *, schema), add_term(table, name, description, synonyms, *, exists_ok),
              list_terms(table), lookup_term(table, name), require_terms(table, names) -> {name: Term}
workflows     find_workflow(*, url, checksum), insert_workflow(rid, workflow), read_workflow(rid), list_workflows(),
              write_description(rid, text), replace_workflow_types(rid, types)
executions    insert_execution(rid, *, workflow_rid, description, status, detail), read_execution(rid),
              read_executions(rids), list_executions(*, workflow_rids, status, since, limit), write_detail,
              swap_status(rid, expected, target, detail, *, durations) -> bool, link_input_datasets(rid, pairs),
              list_input_datasets(rid), link_nested(parent, child, *, sequence), list_nested(rid, *, parents)
assets        asset_table(name), create_asset_table(name, *, column_defs, fkeys, referenced_tables, comment, schema),
              insert_asset_rows(table, rows) -> {url: RID}, insert_asset_types(table, pairs), link_assets(table,
              execution_rid, rids, role), read_asset(rid), list_assets(table, *, execution_rid, role), locate_rid(rid),
              list_outputs_of_type(table, type, execution_rids), list_asset_executions(table, rid, *, role)
features      create_feature(table, name, *, terms, assets, metadata, optional, comment, schema), lookup_feature(table,
              name), feature_of_table(table, target), find_features(table), insert_feature_rows(feature, rows) -> count,
              read_feature_rows(feature, …)
feature_tables  define_feature(schema, table, target), feature_target(table, target): also for bags, offline
files         FileSpec, plan_folders(specs), insert_files(specs, execution_rid) -> {url: RID},
              write_directory, read_directory
datasets      create_dataset(rid, *, version_rid, types, description, version, execution_rid), add_version(rid,
              version_rid, *, version, description, execution_rid), read_dataset, list_datasets, read_versions,
              resolve_version(rid, version), mark_deleted, add_dataset_types, add_element_type(table), element_types(),
              add_members(rid, {table: rids}) -> count, remove_members, list_members(rid, *, snapshot, recurse),
              list_descendants, list_children, list_parents
objects       upload_object(path, object_path, facts, …) -> versioned path, download_object(url, dest, …), object_facts
session       who_am_i() -> Identity

It knows no journal and decides nothing about executions: a phase does.
"""
