"""What happens in a guild on a day beside its messages: commands, voices, threads, members."""

import story
from calls import Call, audit, epoch, request_of, stamp

FIRST_THREAD, FIRST_EMOTE = 4 * 10**17, 5 * 10**17


class Guild:
    """A part of Day. Each method makes a call, or None when there is nothing that it could be about."""

    # Commands and voices.

    def RecordInteraction(self):
        user, channel = self.user(), self.channel()
        name = f"command_{self.chance.randrange(20)}"
        call = self.call(
            "RecordInteraction",
            [("interaction", (epoch(self.time), str(user), str(channel), name))],
            user={"user_id": user, "username": self.names[user]},
            server={"server_id": story.GUILD, "server_name": "Live"},
            channel={"id": channel, "name": f"channel-{channel - story.CHANNELS}"},
            start_date=stamp(self.time), command_name=name, slash_command=True,
            args={"struct_value": {}}, started_successfully=True)
        self.commands.append((call, self.time))
        return call

    def CompleteCommand(self):
        if not self.commands:
            return None
        begun, start = self.commands.pop(self.chance.randrange(len(self.commands)))
        made, end = request_of("CompleteCommand"), stamp(self.time)
        return Call("CompleteCommand", lambda answer: made(
            serial=answer.serial, run_time={"seconds": 1}, end_date=end),
            [("completed", (epoch(start),))], begun)

    def RecordVoiceState(self):
        """Six of ten switch their microphone; others come, or go from one channel to another."""
        user, chance = self.user(), self.chance.random()
        place, other = self.chance.sample(self.channels, 2)
        before, after, rows = {"channel": {"id": place}}, {"channel": {"id": place}}, []
        if chance < 0.6:
            after["self_mute"] = True
            rows.append(audit("voice_state", "UPDATE_VOICE_STATE_SELF_MUTE", "false", "true", user))
        else:
            if chance < 0.85:
                before = {}
            else:
                before["channel"] = {"id": other}
                rows.append(("voice", (str(user), str(other), "left", epoch(self.time))))
            rows.append(("voice", (str(user), str(place), "joined", epoch(self.time))))
        return self.call("RecordVoiceState", rows, user_id=user, username=self.names[user],
                         guild_id=story.GUILD, before=before, after=after, timestamp=stamp(self.time))

    def CreateErrorRecord(self):
        text = f"error {self.number}"
        return self.call("CreateErrorRecord", [("error", (text,))], error_type="KeyError",
                         error_message=text, guild_id=story.GUILD, timestamp=stamp(self.time))

    # The guild.

    def CreateThread(self):
        number = FIRST_THREAD + self.number
        name, parent = f"thread {self.number}", self.channel()
        call = self.call("CreateThread", [audit("threads", "THREAD_CREATED", None, name, number)],
                         thread={"id": number, "guild_id": story.GUILD, "parent_id": parent,
                                 "name": name, "archived": False})
        self.threads[number] = {"parent": parent, "name": name, "archived": False, "last": call}
        return call

    def UpdateThread(self):
        number = self.some(self.threads)
        if number is None:
            return None
        thread = self.threads[number]
        before, name = thread["archived"], f"thread {self.number}"
        rows = [audit("threads", "THREAD_NAME_UPDATED", thread["name"], name, number),
                audit("threads", "THREAD_ARCHIVED_UPDATED", *(
                    "true" if put else "false" for put in (before, not before)), number)]
        thread["name"], thread["archived"] = name, not before
        thread["last"] = self.call("UpdateThread", rows, thread["last"], thread={
            "id": number, "name": name, "archived": not before})
        return thread["last"]

    def AddThreadMember(self):
        thread, user = self.some(self.threads), self.user()
        if thread is None or (user, thread) in self.thread_members:
            return None
        call = self.call("AddThreadMember", [], user_id=user, thread_id=thread)
        self.thread_members[user, thread] = (False, call)
        return call

    def RemoveThreadMember(self):
        there = {key: call for key, (gone, call) in self.thread_members.items() if not gone}
        key = self.some(there)
        if key is None:
            return None
        call = self.call("RemoveThreadMember", [], there[key], user_id=key[0], thread_id=key[1])
        self.thread_members[key] = (True, call)
        return call

    def UpdateChannel(self):
        channel = self.chance.choice(self.channels)
        before, last = self.positions[channel]
        rows = [audit("channels", "UPDATE_CHANNEL_POSITION", str(before), str(self.number), channel)]
        call = self.call("UpdateChannel", rows, last, channel={"id": channel, "position": self.number})
        self.positions[channel] = (self.number, call)
        return call

    def UpdateRole(self):
        role = self.chance.choice(self.roles)
        before, last = self.role_names[role]
        name = f"role {self.number}, another"
        call = self.call("UpdateRole", [audit("roles", "UPDATE_ROLE_NAME", before, name, role)],
                         last, role={"id": role, "name": name})
        self.role_names[role] = (name, call)
        return call

    def CreateEmote(self):
        emote, name = FIRST_EMOTE + 10**6 + self.number, f"emote_{self.number}"
        call = self.call("CreateEmote", [], emote={
            "emote_id": emote, "guild_id": story.GUILD, "name": name})
        self.emotes[emote] = (name, False, call)
        return call

    def MarkEmoteDeleted(self):
        emote = self.some({emote: 0 for emote, (_, gone, _) in self.emotes.items() if not gone})
        name, _, last = self.emotes[emote]
        call = self.call("MarkEmoteDeleted", [], last, emote_id=emote)
        self.emotes[emote] = (name, True, call)
        return call

    # Members.

    def RecordMemberJoin(self):
        user = story.USERS + 10**9 + self.number
        call = self.call("RecordMemberJoin", [("event", (str(user), "join", epoch(self.time)))],
                         user_id=user, server_id=story.GUILD, date=stamp(self.time),
                         server_name="Live", user_name=f"member {user}")
        self.names[user] = f"member {user}"
        self.joined[user] = {"gone": False, "join": call, "named": call}
        return call

    def RecordMemberLeave(self):
        user = self.some({user: 0 for user, found in self.joined.items() if not found["gone"]})
        if user is None:
            return None
        self.joined[user]["gone"] = True
        return self.call("RecordMemberLeave", [("event", (str(user), "leave", epoch(self.time)))],
                         self.joined[user]["join"], user_id=user, server_id=story.GUILD,
                         date=stamp(self.time), server_name="Live", user_name=self.names[user])

    def UpdateUsername(self):
        user = self.some(self.joined)
        if user is None:
            return None
        name = f"member {user} {self.number}"
        rows = [audit("users", "UPDATE_USERNAME", self.names[user], name, user)]
        self.names[user] = name
        self.joined[user]["named"] = self.call("UpdateUsername", rows, self.joined[user]["named"],
                                               user_id=user, username=name)
        return self.joined[user]["named"]

    def RecordRoleChange(self):
        pair = user, role = self.user(), self.chance.choice(self.roles)
        if pair in self.changed_roles:
            return None
        self.changed_roles.add(pair)
        action = "removed" if pair in self.role_members else "added"
        self.role_members ^= {pair}
        return self.call(
            "RecordRoleChange", [("role change", (str(user), str(role), action, epoch(self.time)))],
            user_id=user, server_id=story.GUILD, timestamp=stamp(self.time),
            changes=[{"role_id": role, "action": f"ROLE_CHANGE_ACTION_{action.upper()}"}])
