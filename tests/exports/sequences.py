"""Operators of `operators.py` that go through a sequence: attention and recurrence; and those of `ai.onnx.ml`."""

import math

import torch
import torch.nn.functional as f

MICROSOFT, TRADITIONAL = "com.microsoft", "ai.onnx.ml"
RULES = {}


def rule(*names, domain=""):
    def register(function):
        RULES.update({(domain, name): function for name in names})
        return function
    return register


def heads_of(x, heads):
    return x if x.dim() == 4 else x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def attended(query, key, value, scale, added=None, causal=False):
    """`[batch, heads, sequence, width]` each."""
    times = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(times, 1) for x in (key, value))
    scores = query @ key.transpose(-1, -2) * scale
    if added is not None:
        scores = scores.masked_fill(~added, -math.inf) if added.dtype == torch.bool else scores + added
    if causal:
        keep = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(scores.shape[-1] - scores.shape[-2])
        scores = scores.masked_fill(~keep, -math.inf)
    return torch.softmax(scores, -1) @ value


@rule("Attention")
def attention(call, query, key, value, mask=None, past_key=None, past_value=None):
    assert past_key is None and not call.get("softcap", 0.0)
    flat = query.dim() == 3
    query = heads_of(query, call.get("q_num_heads"))
    key, value = (heads_of(x, call.get("kv_num_heads")) for x in (key, value))
    scale = call.get("scale") or 1 / math.sqrt(query.shape[-1])
    y = attended(query, key, value, scale, mask, call.get("is_causal", 0))
    y = y.transpose(1, 2).flatten(2) if flat else y
    return y, key, value, None


@rule("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(call, query, key, value, bias=None, padding=None, added=None, *past):
    assert not any(entry is not None for entry in past) and key is not None and key.dim() == 3
    heads = call.get("num_heads")
    if bias is not None:
        widths = [query.shape[-1], key.shape[-1], value.shape[-1]]
        query, key, value = (x + part for x, part in zip((query, key, value), bias.split(widths)))
    query, key, value = (heads_of(x, heads) for x in (query, key, value))
    if padding is not None:
        assert padding.dim() == 2 and padding.shape[1] == key.shape[2]
        hidden = torch.where(padding[:, None, None, :] > 0, 0.0, call.get("mask_filter_value", -10000.0)).to(query.dtype)
        added = hidden if added is None else added + hidden
    scale = call.get("scale") or 1 / math.sqrt(query.shape[-1])
    return attended(query, key, value, scale, added, call.get("unidirectional", 0)).transpose(1, 2).flatten(2)


@rule("Attention", domain=MICROSOFT)
def packed_attention(call, x, weight, bias=None, mask=None, past=None, added=None):
    assert past is None
    widths = call.get("qkv_hidden_sizes") or [weight.shape[1] // 3] * 3
    joint = x @ weight
    query, key, value = (heads_of(part, call.get("num_heads")) for part in (joint if bias is None else joint + bias).split(widths, -1))
    if mask is not None:
        assert mask.shape == (x.shape[0], x.shape[1]), mask.shape
        hidden = torch.where(mask[:, None, None, :] > 0, 0.0, call.get("mask_filter_value", -10000.0)).to(x.dtype)
        added = hidden if added is None else added + hidden
    scale = call.get("scale") or 1 / math.sqrt(query.shape[-1])
    return attended(query, key, value, scale, added, call.get("unidirectional", 0)).transpose(1, 2).flatten(2)


@rule("RotaryEmbedding")
def rotary_embedding(call, x, cosines, sines, places=None):
    flat = x.dim() == 3
    x = heads_of(x, call.get("num_heads", 0))
    if places is not None:
        cosines, sines = cosines[places], sines[places]
    cosines, sines = cosines[:, None], sines[:, None]
    width = call.get("rotary_embedding_dim", 0) or x.shape[-1]
    turned, rest = x[..., :width], x[..., width:]
    if call.get("interleaved", 0):
        a, b = turned[..., ::2], turned[..., 1::2]
        turned = torch.stack([a * cosines - b * sines, b * cosines + a * sines], -1).flatten(-2)
    else:
        a, b = turned.chunk(2, -1)
        turned = torch.cat([a * cosines - b * sines, b * cosines + a * sines], -1)
    y = torch.cat([turned, rest], -1)
    return y.transpose(1, 2).flatten(2) if flat else y


def walked(call, x, bodies, states):
    """Goes along the sequence in each direction. Gives all states and the last ones, with the axis of directions."""
    assert call.get("layout", 0) == 0 and call.get("clip") is None and call.get("activations") in (None, ["Sigmoid", "Tanh"] * len(bodies),
        ["Sigmoid", "Tanh", "Tanh"] * len(bodies), ["Tanh"] * len(bodies), [b"Sigmoid", b"Tanh", b"Tanh"] * len(bodies), [b"Sigmoid", b"Tanh"] * len(bodies),
        [b"Tanh"] * len(bodies))
    everything, ends = [], []
    for direction, body in enumerate(bodies):
        backwards = call.get("direction", "forward") == "reverse" or direction == 1
        state, all_of_it = [entry[direction] for entry in states], []
        for place in reversed(range(x.shape[0])) if backwards else range(x.shape[0]):
            state = body(x[place], *state)
            all_of_it.append(state[0])
        everything.append(torch.stack(all_of_it[::-1] if backwards else all_of_it))
        ends.append(state)
    return torch.stack(everything, 1), *(torch.stack(entries) for entries in zip(*ends))


def started(call, x, weight, given):
    zeros = torch.zeros(weight.shape[0], x.shape[1], call.get("hidden_size"), dtype=x.dtype)
    return zeros if given is None else given


def both(bias, direction, weight):
    return torch.zeros(2 * weight.shape[1], dtype=weight.dtype) if bias is None else bias[direction]


@rule("LSTM")
def lstm(call, x, weight, recurrent, bias=None, lengths=None, hidden=None, cell=None, peepholes=None):
    assert peepholes is None and (lengths is None or bool((lengths == x.shape[0]).all()))

    def body(direction):
        w, r, (wb, rb) = weight[direction], recurrent[direction], both(bias, direction, weight).chunk(2)

        def step(now, h, c):
            i, o, forget, new = (now @ w.T + wb + h @ r.T + rb).chunk(4, -1)
            c = torch.sigmoid(forget) * c + torch.sigmoid(i) * torch.tanh(new)
            return [torch.sigmoid(o) * torch.tanh(c), c]
        return step
    return walked(call, x, [body(d) for d in range(weight.shape[0])], [started(call, x, weight, given) for given in (hidden, cell)])


@rule("GRU")
def gru(call, x, weight, recurrent, bias=None, lengths=None, hidden=None):
    assert lengths is None or bool((lengths == x.shape[0]).all())

    def body(direction):
        w, r, (wb, rb) = weight[direction], recurrent[direction], both(bias, direction, weight).chunk(2)
        (wz, wr, wh), (rz, rr, rh) = w.chunk(3), r.chunk(3)
        (bz, br, bh), (cz, cr, ch) = wb.chunk(3), rb.chunk(3)

        def step(now, h):
            z = torch.sigmoid(now @ wz.T + bz + h @ rz.T + cz)
            reset = torch.sigmoid(now @ wr.T + br + h @ rr.T + cr)
            if call.get("linear_before_reset", 0):
                new = torch.tanh(now @ wh.T + bh + reset * (h @ rh.T + ch))
            else:
                new = torch.tanh(now @ wh.T + bh + (reset * h) @ rh.T + ch)
            return [(1 - z) * new + z * h]
        return step
    return walked(call, x, [body(d) for d in range(weight.shape[0])], [started(call, x, weight, hidden)])


@rule("RNN")
def rnn(call, x, weight, recurrent, bias=None, lengths=None, hidden=None):
    def body(direction):
        w, r, (wb, rb) = weight[direction], recurrent[direction], both(bias, direction, weight).chunk(2)
        return lambda now, h: [torch.tanh(now @ w.T + wb + h @ r.T + rb)]
    return walked(call, x, [body(d) for d in range(weight.shape[0])], [started(call, x, weight, hidden)])
