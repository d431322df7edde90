"""Every error code that Binance documents for spot: what kind of failure it is, and what to do about it.

Source: Binance spot docs, errors.md and change log of 2026-07-21, checked 2026-11-23. The names are Binance's, the
hints are ours. The kinds are those of an *order*; a read has no outcome to lose (`kind_of_code`).
"""

from __future__ import annotations

from typing import NamedTuple

from quantlab.exchange.failure.taxonomy import Kind

T, RATE, CLOCK, AUTH, NO, UNKNOWN = (
    Kind.TRANSIENT,
    Kind.RATE,
    Kind.CLOCK,
    Kind.AUTH,
    Kind.REFUSED,
    Kind.UNKNOWN_OUTCOME,
)


class Code(NamedTuple):
    """A code's name, the kind of failure it is for an order, and a hint in plain words where one helps."""

    name: str
    kind: Kind
    hint: str = ""


_BUG = "this is a fault of quantlab's: please report it with this line"
_KEY = "compare this machine's public address and the key's permissions at API Management: quantlab preflight"

CODES: dict[int, Code] = {
    # The servers and the network. -1000 and -1001 do not say whether anything was done: for an order that is unknown.
    -1000: Code("UNKNOWN", UNKNOWN),
    -1001: Code("DISCONNECTED", UNKNOWN),
    -1002: Code("UNAUTHORIZED", AUTH, _KEY),
    -1003: Code("TOO_MANY_REQUESTS", RATE, "something else at this address asks too: lower QUANTLAB_WEIGHT_PER_MINUTE"),
    -1006: Code("UNEXPECTED_RESP", UNKNOWN),
    -1007: Code("TIMEOUT", UNKNOWN),
    -1008: Code("SERVER_BUSY", T, "the exchange is overloaded: it passes in some minutes"),
    -1010: Code("ERROR_MSG_RECEIVED", NO),
    -1013: Code("INVALID_MESSAGE", NO),
    -1014: Code("UNKNOWN_ORDER_COMPOSITION", NO),
    -1015: Code("TOO_MANY_ORDERS", RATE, "the account has too many unfilled orders: fewer bots, or fewer changes"),
    -1016: Code("SERVICE_SHUTTING_DOWN", T, "this service ends: look at binance.com/en/support/announcement"),
    -1020: Code("UNSUPPORTED_OPERATION", NO),
    -1021: Code("INVALID_TIMESTAMP", CLOCK, "set this machine's clock: `timedatectl set-ntp true`, or chrony"),
    -1022: Code("INVALID_SIGNATURE", AUTH, "the secret is not the one of this key: enter the pair again"),
    -1033: Code("COMP_ID_IN_USE", NO),
    -1034: Code("TOO_MANY_CONNECTIONS", RATE, "too many connections were opened: wait five minutes"),
    -1035: Code("LOGGED_OUT", NO),
    -1099: Code("NOT_FOUND_AUTHENTICATED_OR_AUTHORIZED", AUTH, _KEY),
    # The request itself.
    -1100: Code("ILLEGAL_CHARS", NO, _BUG),
    -1101: Code("TOO_MANY_PARAMETERS", NO, _BUG),
    -1102: Code("MANDATORY_PARAM_EMPTY_OR_MALFORMED", NO, _BUG),
    -1103: Code("UNKNOWN_PARAM", NO, _BUG),
    -1104: Code("UNREAD_PARAMETERS", NO, _BUG),
    -1105: Code("PARAM_EMPTY", NO, _BUG),
    -1106: Code("PARAM_NOT_REQUIRED", NO, _BUG),
    -1108: Code("PARAM_OVERFLOW", NO),
    -1111: Code("BAD_PRECISION", NO, "more decimals than the symbol's step: its filters may have changed"),
    -1112: Code("NO_DEPTH", NO, "nobody offers anything on this symbol now"),
    -1114: Code("TIF_NOT_REQUIRED", NO, _BUG),
    -1115: Code("INVALID_TIF", NO),
    -1116: Code("INVALID_ORDER_TYPE", NO),
    -1117: Code("INVALID_SIDE", NO),
    -1118: Code("EMPTY_NEW_CL_ORD_ID", NO, _BUG),
    -1119: Code("EMPTY_ORG_CL_ORD_ID", NO, _BUG),
    -1120: Code("BAD_INTERVAL", NO, "the timeframes are 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M"),
    -1121: Code("BAD_SYMBOL", NO, "symbols are written without a slash, as BTCUSDT; it may also have been delisted"),
    -1122: Code("INVALID_SYMBOLSTATUS", NO),
    -1125: Code("INVALID_LISTEN_KEY", NO),
    -1127: Code("MORE_THAN_XX_HOURS", NO, "ask for a shorter time"),
    -1128: Code("OPTIONAL_PARAMS_BAD_COMBO", NO),
    -1130: Code("INVALID_PARAMETER", NO),
    -1131: Code("BAD_RECV_WINDOW", NO, "at most 60,000 ms"),
    -1134: Code("BAD_STRATEGY_TYPE", NO),
    -1135: Code("INVALID_JSON", NO, _BUG),
    -1139: Code("INVALID_TICKER_TYPE", NO),
    -1145: Code("INVALID_CANCEL_RESTRICTIONS", NO),
    -1151: Code("DUPLICATE_SYMBOLS", NO),
    -1152: Code("INVALID_SBE_HEADER", NO),
    -1153: Code("UNSUPPORTED_SCHEMA_ID", NO),
    -1155: Code("SBE_DISABLED", NO),
    -1158: Code("OCO_ORDER_TYPE_REJECTED", NO),
    -1160: Code("OCO_ICEBERGQTY_TIMEINFORCE", NO),
    -1161: Code("DEPRECATED_SCHEMA", NO),
    -1165: Code("BUY_OCO_LIMIT_MUST_BE_BELOW", NO),
    -1166: Code("SELL_OCO_LIMIT_MUST_BE_ABOVE", NO),
    -1167: Code("BOTH_OCO_ORDERS_CANNOT_BE_CONTINGENT", NO),
    -1168: Code("BOTH_OCO_ORDERS_CANNOT_BE_LIMIT", NO),
    # FIX sessions, which quantlab does not open.
    -1169: Code("INVALID_TAG_NUMBER", NO),
    -1170: Code("TAG_NOT_DEFINED_IN_MESSAGE", NO),
    -1171: Code("TAG_APPEARS_MORE_THAN_ONCE", NO),
    -1172: Code("TAG_OUT_OF_ORDER", NO),
    -1173: Code("GROUP_FIELDS_OUT_OF_ORDER", NO),
    -1174: Code("INVALID_COMPONENT", NO),
    -1175: Code("RESET_SEQ_NUM_SUPPORT", NO),
    -1176: Code("ALREADY_LOGGED_IN", NO),
    -1177: Code("GARBLED_MESSAGE", NO),
    -1178: Code("BAD_SENDER_COMPID", NO),
    -1179: Code("BAD_SEQ_NUM", NO),
    -1180: Code("EXPECTED_LOGON", NO),
    -1181: Code("TOO_MANY_MESSAGES", RATE),
    -1182: Code("PARAMS_BAD_COMBO", NO),
    -1183: Code("NOT_ALLOWED_IN_DROP_COPY_SESSIONS", NO),
    -1184: Code("DROP_COPY_SESSION_NOT_ALLOWED", NO),
    -1185: Code("DROP_COPY_SESSION_REQUIRED", NO),
    -1186: Code("NOT_ALLOWED_IN_ORDER_ENTRY_SESSIONS", NO),
    -1187: Code("NOT_ALLOWED_IN_MARKET_DATA_SESSIONS", NO),
    -1188: Code("INCORRECT_NUM_IN_GROUP_COUNT", NO),
    -1189: Code("DUPLICATE_ENTRIES_IN_A_GROUP", NO),
    -1190: Code("INVALID_REQUEST_ID", NO),
    -1191: Code("TOO_MANY_SUBSCRIPTIONS", NO, "fewer streams on one connection"),
    -1194: Code("INVALID_TIME_UNIT", NO, _BUG),
    -1196: Code("BUY_OCO_STOP_LOSS_MUST_BE_ABOVE", NO),
    -1197: Code("SELL_OCO_STOP_LOSS_MUST_BE_BELOW", NO),
    -1198: Code("BUY_OCO_TAKE_PROFIT_MUST_BE_BELOW", NO),
    -1199: Code("SELL_OCO_TAKE_PROFIT_MUST_BE_ABOVE", NO),
    -1210: Code("INVALID_PEG_PRICE_TYPE", NO),
    -1211: Code("INVALID_PEG_OFFSET_TYPE", NO),
    -1220: Code("SYMBOL_DOES_NOT_MATCH_STATUS", NO, "the symbol does not trade now"),
    -1221: Code("INVALID_SBE_MESSAGE_FIELD", NO),
    -1222: Code("OPO_WORKING_MUST_BE_BUY", NO),
    -1223: Code("OPO_PENDING_MUST_BE_SELL", NO),
    -1224: Code("WORKING_PARAM_REQUIRED", NO),
    -1225: Code("PENDING_PARAM_NOT_REQUIRED", NO),
    # Orders and keys. Of -2010, -2011 and -2038 only the message says why: see `rejections`.
    -2008: Code("BAD_API_ID", AUTH, "the key is unknown to the exchange: it was deleted, or belongs to another one"),
    -2010: Code("NEW_ORDER_REJECTED", NO),
    -2011: Code("CANCEL_REJECTED", NO),
    -2013: Code("NO_SUCH_ORDER", NO, "the exchange does not know this order"),
    -2014: Code("BAD_API_KEY_FMT", AUTH, "this is not a whole key: enter it again"),
    -2015: Code("REJECTED_MBX_KEY", AUTH, _KEY),
    -2016: Code("NO_TRADING_WINDOW", NO),
    # One half was done and the other was not: which, only the two orders can tell.
    -2021: Code("CANCEL_REPLACE_PARTIALLY_FAILED", UNKNOWN, "one half was done: ask for both orders"),
    -2022: Code("CANCEL_REPLACE_FAILED", NO, "neither half was done"),
    -2026: Code("ORDER_ARCHIVED", NO, "the order ended unfilled more than 90 days ago"),
    -2035: Code("SUBSCRIPTION_ACTIVE", NO),
    -2036: Code("SUBSCRIPTION_INACTIVE", NO),
    -2038: Code("ORDER_AMEND_REJECTED", NO),
    -2039: Code("CLIENT_ORDER_ID_INVALID", NO, "the two ids belong to different orders"),
    -2042: Code("MAXIMUM_SUBSCRIPTION_IDS", NO),
    -2043: Code("NO_REFERENCE_PRICE", NO),
}


def code_of(code: int) -> Code:
    """What `code` means. One that is not in the table is judged by its range, and so that nothing is done twice:
    -10xx are the exchange's own troubles (of an order: unknown outcome), all others turn the request down."""
    known = CODES.get(code)
    if known is not None:
        return known
    return Code("", UNKNOWN if -1099 < code <= -1000 else NO)


def kind_of_code(code: int, *, read: bool) -> Kind:
    """The kind of failure `code` is. What leaves an order's outcome unknown, a read may simply ask again."""
    kind = code_of(code).kind
    return Kind.TRANSIENT if read and kind is Kind.UNKNOWN_OUTCOME else kind
