/** Log modules of Open vSwitch's `ovsdb-server`: `-v` and `vlog/set` accept these names. */
export const OVSDB_SERVER_MODULES: readonly string[] = (
  "backtrace command_line coverage daemon daemon_unix entropy fatal_signal hmap jsonrpc lockfile " +
  "memory ovs_rcu ovs_replay ovs_thread ovsdb ovsdb_cs ovsdb_error ovsdb_file " +
  "ovsdb_jsonrpc_server ovsdb_log ovsdb_monitor ovsdb_rbac ovsdb_server ovsdb_util poll_loop " +
  "process raft raft_rpc reconnect relay replication sha1 signals socket_util socket_util_unix " +
  "storage stream stream_fd stream_replay stream_ssl stream_tcp stream_unix svec timeval " +
  "transaction transaction_forward trigger unixctl util uuid vlog"
).split(" ");
