"""The endpoint of user groups: connection details."""

from aiohttp import web

from ..faults import rejection
from .call import Call, Refusal


async def read_connection_details(call: Call) -> web.Response:
    """Answer with what a client needs to subscribe to the messages of a user group."""
    group = call.cloud.user_groups.get(call.ids[0])
    if group is None:
        raise Refusal(rejection(512, "Unknown object"))
    if call.account.user_name not in group.owners:
        return web.Response(status=403)
    if not group.messaging_enabled:
        return rejection(526, None)
    return web.json_response(call.cloud.connection_details(group))
