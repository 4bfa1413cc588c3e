"""A script of Python's own OVSDB client (python3-openvswitch), for db-python.test.ts.

    db_python_idl.py REMOTE

Two copies of the database (IDLs), one of them with a condition, change it in every way that the
client has, and print what they see. What it prints depends on the server's behaviour alone: rows go
by their names, and in order.
"""
import re
import sys
import time

import ovs.db.idl
import ovs.poller
import ovs.vlog

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
COLUMNS = {
    "Open_vSwitch": ["bridges", "external_ids", "next_cfg", "cur_cfg", "other_config"],
    "Bridge": ["name", "ports", "mirrors", "flood_vlans", "fail_mode", "other_config"],
    "Port": ["name", "interfaces", "tag", "trunks", "qos"],
    "Interface": ["name", "type", "options", "statistics", "ofport_request"],
    "Mirror": ["name", "select_all", "output_port"],
    "QoS": ["type", "queues"],
    "Queue": ["dscp", "other_config"],
}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def text(value):
    """A value as text: rows by what they are called, sets and maps in order."""
    if isinstance(value, ovs.db.idl.Row):
        return label(value)
    if isinstance(value, dict):
        return "{%s}" % ", ".join(sorted("%s=%s" % (text(k), text(v)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join(sorted(map(text, value)))
    return repr(value)


def label(row):
    name = getattr(row, "name", None) or getattr(row, "type", None)
    return "%s %s" % (row._table.name, name) if name else row._table.name


class Copy(ovs.db.idl.Idl):
    """An IDL that prints what it is told."""

    def __init__(self, name, remote, columns=COLUMNS):
        helper = ovs.db.idl.SchemaHelper(SCHEMA)
        for table, names in columns.items():
            helper.register_columns(table, names)
        super().__init__(remote, helper)
        self.name = name
        self.heard = []
        self.until(lambda: self.has_ever_connected())

    def notify(self, event, row, updates=None):
        if row._table.name == "Database":
            return  # of _Server; when it comes is a matter of chance
        changed = "" if updates is None else " " + " ".join(
            "%s=%s" % (column, text(getattr(updates, column)))
            for column in sorted(self.tables[row._table.name].columns) if hasattr(updates, column))
        self.heard.append("%s %s%s" % (event, label(row), changed))

    def until(self, holds):
        end = time.monotonic() + 20
        while True:
            self.run()
            if holds():
                return
            if time.monotonic() > end:
                raise SystemExit("%s: waited in vain" % self.name)
            poller = ovs.poller.Poller()
            self.wait(poller)
            poller.timer_wait(200)
            poller.block()

    def tell(self):
        for line in sorted(self.heard):
            print("  %s heard: %s" % (self.name, line))
        self.heard = []

    def dump(self):
        for table in sorted(self.tables):
            for row in sorted(self.tables[table].rows.values(), key=self.key):
                print("  %s has: %s %s" % (self.name, table, self.key(row)))

    def key(self, row):
        return " ".join("%s=%s" % (column, text(getattr(row, column)))
                        for column in sorted(self.tables[row._table.name].columns))

    def find(self, table, name):
        return next(row for row in self.tables[table].rows.values() if row.name == name)

    @property
    def root(self):
        return next(iter(self.tables["Open_vSwitch"].rows.values()))


def main(remote):
    main_copy = Copy("main", remote)
    # What is there at first differs: stock ovsdb-server was given its one row by ovs-vsctl.
    main_copy.heard = []
    watcher = Copy("watcher", remote, {"Bridge": ["name", "other_config", "fail_mode"]})
    watcher.cond_change("Bridge", [["name", "==", "br1"]])
    watcher.until(lambda: watcher.tables["Bridge"].condition_state.requested is None
                  and watcher.tables["Bridge"].condition_state.new is None)

    def step(title, change, wanted=ovs.db.idl.Transaction.SUCCESS):
        """One transaction; both copies then wait for a mark that a second one sets."""
        print("%s" % title)
        txn = ovs.db.idl.Transaction(main_copy)
        result = change(txn)
        status = txn.commit_block()
        # Which of two rows is named first is a matter of chance.
        error = re.sub(r"  First row[^\"]*", "", UUID.sub("<uuid>", txn.get_error() or ""))
        print("  %s%s" % (txn.status_to_string(status), " " + error if error else ""))
        if status != wanted:
            raise SystemExit("not as wanted")
        main_copy.until(lambda: True)
        main_copy.tell()
        return txn, result

    def add_bridge(txn, name):
        interface = txn.insert(main_copy.tables["Interface"])
        interface.name = name
        interface.type = "internal"
        port = txn.insert(main_copy.tables["Port"])
        port.name = name
        port.interfaces = [interface]
        bridge = txn.insert(main_copy.tables["Bridge"])
        bridge.name = name
        bridge.ports = [port]
        root = main_copy.root
        root.verify("bridges")
        root.bridges = root.bridges + [bridge]
        txn.add_comment("added %s" % name)
        return bridge

    for name in ["br0", "br1"]:
        txn, bridge = step("add %s" % name, lambda txn: add_bridge(txn, name))
        inserted = txn.get_insert_uuid(bridge.uuid)
        print("  inserted as the row of %s" % main_copy.tables["Bridge"].rows[inserted].name)
    watcher.until(lambda: len(watcher.tables["Bridge"].rows) == 1)
    watcher.tell()

    step("a bridge twice", lambda txn: add_bridge(txn, "br0"), ovs.db.idl.Transaction.ERROR)

    def values(txn):
        bridge = main_copy.find("Bridge", "br1")
        bridge.other_config = {"a": "1", "b": "2", "ü": "\"\\"}
        bridge.fail_mode = "secure"
        bridge.flood_vlans = [3, 1, 2]

    step("values", values)

    def pieces(txn):
        bridge = main_copy.find("Bridge", "br1")
        bridge.setkey("other_config", "c", "3")
        bridge.setkey("other_config", "a", "9")
        bridge.delkey("other_config", "b")
        bridge.addvalue("flood_vlans", 4)
        bridge.delvalue("flood_vlans", 1)

    step("pieces of sets and maps", pieces)
    step("nothing", lambda txn: setattr(main_copy.find("Bridge", "br1"), "fail_mode", "secure"),
         ovs.db.idl.Transaction.UNCHANGED)
    watcher.until(lambda: watcher.find("Bridge", "br1").other_config.get("a") == "9")
    watcher.tell()

    def increment(txn):
        main_copy.root.external_ids = {"counted": "yes"}
        main_copy.root.increment("next_cfg")

    before = main_copy.root.next_cfg
    txn, _ = step("increment", increment)
    print("  by %d" % (txn.get_increment_new_value() - before))
    step("a large integer", lambda txn: setattr(main_copy.root, "cur_cfg", 2 ** 62 + 1))

    def stale(txn):
        row = main_copy.find("Bridge", "br0")
        row.verify("fail_mode")
        row.fail_mode = "standalone"
        # Meanwhile somebody else changes it.
        other = Copy("other", remote)
        theirs = ovs.db.idl.Transaction(other)
        other.find("Bridge", "br0").fail_mode = "secure"
        print("  other: %s" % theirs.status_to_string(theirs.commit_block()))
        other.close()

    step("a value that changed meanwhile", stale, ovs.db.idl.Transaction.TRY_AGAIN)

    def mirror(txn):
        row = txn.insert(main_copy.tables["Mirror"])
        row.name = "m0"
        row.output_port = main_copy.find("Port", "br1")
        bridge = main_copy.find("Bridge", "br0")
        bridge.mirrors = [row]

    step("a weak reference", mirror)

    def queues(txn):
        queue = txn.insert(main_copy.tables["Queue"])
        queue.dscp = 5
        qos = txn.insert(main_copy.tables["QoS"])
        qos.type = "linux-htb"
        qos.queues = {7: queue}
        main_copy.find("Port", "br0").qos = qos

    step("a map of references", queues)

    def delete_bridge(txn):
        row = main_copy.find("Bridge", "br1")
        root = main_copy.root
        root.bridges = [bridge for bridge in root.bridges if bridge != row]
        row.delete()

    step("delete br1: what it had goes, and what referred to it weakly is empty", delete_bridge)
    watcher.until(lambda: len(watcher.tables["Bridge"].rows) == 0)
    watcher.tell()

    print("a condition that changes")
    watcher.cond_change("Bridge", [["name", "==", "br0"], ["fail_mode", "==", "standalone"]])
    watcher.until(lambda: len(watcher.tables["Bridge"].rows) == 1)
    watcher.tell()

    print("a dry run")
    txn = ovs.db.idl.Transaction(main_copy)
    txn.dry_run = True
    main_copy.find("Bridge", "br0").fail_mode = []
    print("  %s" % txn.status_to_string(txn.commit_block()))

    print("locks")
    main_copy.set_lock("a_lock")
    main_copy.until(lambda: main_copy.has_lock)
    watcher.set_lock("a_lock")
    watcher.until(lambda: watcher.is_lock_contended)
    print("  main has it: %s, watcher waits: %s" % (main_copy.has_lock, watcher.is_lock_contended))
    step("with the lock", lambda txn: setattr(main_copy.root, "external_ids", {"k": "v"}))
    main_copy.set_lock(None)
    watcher.until(lambda: watcher.has_lock)
    print("  watcher has it now")

    print("connect again")
    connected = watcher.change_seqno
    watcher.force_reconnect()
    main_copy.find("Bridge", "br0")
    txn = ovs.db.idl.Transaction(main_copy)
    main_copy.find("Bridge", "br0").other_config = {"missed": "this"}
    print("  %s" % txn.status_to_string(txn.commit_block()))
    watcher.until(lambda: watcher.change_seqno != connected and
                  watcher.find("Bridge", "br0").other_config == {"missed": "this"})
    # Stock ovsdb-server tells everything again (only clusters keep a history), ours what was missed.

    print("in the end")
    main_copy.until(lambda: True)
    main_copy.dump()
    watcher.dump()


ovs.vlog.Vlog.init()
ovs.vlog.Vlog.set_levels_from_string("console:off")
main(sys.argv[1])
