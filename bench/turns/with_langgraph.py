"""The turn in LangGraph: the model, its tools, and back, streamed by the message."""

from contest import MODEL, QUESTION, SYSTEM, Turn, compete, get_current_weather
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


def make_turn(url: str) -> Turn:
    """Return the turn at an endpoint."""
    model = ChatOpenAI(model=MODEL, base_url=url, api_key="none", streaming=True, stream_usage=True)
    bound = model.bind_tools([get_current_weather])

    async def ask(state: MessagesState) -> dict[str, object]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("tools", ToolNode([get_current_weather]))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", tools_condition)
    graph.add_edge("tools", "ask")
    compiled = graph.compile()

    async def turn() -> str:
        begin = {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]}
        text = ""
        async for piece, _ in compiled.astream(begin, stream_mode="messages"):
            text += piece.content if piece.type == "AIMessageChunk" else ""
        return text

    return turn


compete(make_turn)
