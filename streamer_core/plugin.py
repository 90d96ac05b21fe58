"""What the author of a plugin needs, in one place."""

from streamer_core.errors import ConfigurationError, Refused, StreamerError
from streamer_core.markers import hookimpl
from streamer_core.model.call import Call, Health, Metric, Outgoing, Panel, Push, Resource
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.counter import Count
from streamer_core.model.handler import HandlerSpec, TopicSpec
from streamer_core.model.manifest import Manifest
from streamer_core.model.message import Message, Mode, Options, Priority
from streamer_core.model.policy import Again, GiveUp, Policy, Verdict
from streamer_core.model.principal import Principal
from streamer_core.model.request import Failure, Request, Snapshot, Status
from streamer_core.model.tables import Credentials, OwnTables
from streamer_core.model.update import Update
from streamer_core.ports import Change, Clock, Delivery, Store, Transport
from streamer_core.records import record
from streamer_core.scope import TenantScope, current_tenant
from streamer_core.sections import Ms

__all__ = [
    "Again",
    "Call",
    "Change",
    "Clock",
    "ConfigurationError",
    "Connection",
    "Count",
    "Credentials",
    "Delivery",
    "Failure",
    "GiveUp",
    "HandlerSpec",
    "Handshake",
    "Health",
    "Manifest",
    "Message",
    "Metric",
    "Mode",
    "Ms",
    "Options",
    "Outgoing",
    "OwnTables",
    "Panel",
    "Policy",
    "Principal",
    "Priority",
    "Push",
    "Refused",
    "Request",
    "Resource",
    "Snapshot",
    "Status",
    "Store",
    "StreamerError",
    "TenantScope",
    "TopicSpec",
    "Transport",
    "Update",
    "Verdict",
    "current_tenant",
    "hookimpl",
    "record",
]
