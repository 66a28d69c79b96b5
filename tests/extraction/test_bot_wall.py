"""Walls of bot filters and pages that hold no text, under status 200: each ends in a named outcome; articles about them stay."""

from __future__ import annotations

import pytest
from html_pages import PROSE, html, page, paragraphs

from newsmill.extraction.pipeline import read
from newsmill.model import Outcome

ARTICLE = '<meta property="og:type" content="article">'


def bare(body: str, title: str = "", head: str = "") -> str:
    return f"<html><head><title>{title}</title>{head}</head><body>{body}</body></html>"


@pytest.mark.parametrize(
    "markup",
    [
        bare("<script>(function(){window._cf_chl_opt={cvId:'3'};})()</script>", "Paper"),
        bare("<div id='cf-error-details'><h1>Sorry</h1><p>This website uses a service to protect itself.</p></div>", "Paper"),
        bare("<script>var i=1</script>", head="<meta http-equiv=refresh content=\"5; URL='/a?bm-verify=AAQ'\">"),
        bare("<p>See https://errors.edgesuite.net/18.5d</p>", "Paper"),
        bare("<p>paper.example</p><script src='https://ct.captcha-delivery.com/c.js'></script>"),
        bare("<p>Before we continue</p><div id='px-captcha'></div>"),
        bare("<iframe src='/_Incapsula_Resource?CWUDNSAI=9&incident_id=70-1'>Sorry</iframe>"),
        bare("", head="<script src='/_Incapsula_Resource?SWJIYLWA=719d'></script>"),  # nothing but the filter's script
        bare("<div id=c></div><script>window.gokuProps = {}</script>"),
        bare("<p>Access from your area</p><script>sucuri_cloudproxy_js = 1</script>"),
        bare("<script src='/.within.website/x/cmd/anubis/static/js/main.mjs'></script><p>Hm.</p>"),
    ],
)
def test_a_wall_shows_itself_by_its_markup(markup: str) -> None:
    ending = read(page(markup)).ending
    assert ending.outcome is Outcome.BLOCKED
    assert ending.detail is not None and ending.detail.startswith("the markup of a wall of ")


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Just a moment...", ""),
        ("Just a moment...", "Checking if the site connection is secure. paper.example needs to review the security of your connection."),
        ("Attention Required! | Shield", "Sorry, you have been blocked. You are unable to access paper.example."),
        ("Access Denied", "You don't have permission to access this page on this server. Reference #18.5d."),
        ("", "Access denied"),
        ("403 Forbidden", "nginx"),
        ("Access to this page has been denied.", "Press & Hold to confirm you are a human (and not a bot)."),
        (
            "Paper - Are you a robot?",
            "We've detected unusual activity from your computer network. Tell us you're not a robot. Reference ID: 1.",
        ),
        ("", "Please enable JS and disable any ad blocker"),
        ("Request Rejected", "The requested URL was rejected. Please consult with your administrator. Your support ID is: 123"),
        ("", "Request unsuccessful. Incident ID: 703000160143928249-191398964119929859"),
        ("Zugriff verweigert", "Ihre Anfrage wurde aus Sicherheitsgründen abgelehnt."),
        ("Nur einen Moment…", "Wir prüfen, dass Sie ein Mensch sind."),
        ("Un instant…", "Vérification de sécurité en cours."),
        ("Accès refusé", "Vous n'avez pas les droits."),
        ("Acceso denegado", "Se ha detectado tráfico inusual desde su red."),
        ("Um momento…", "Verificação de segurança em andamento."),
        ("Accesso negato", "Non puoi vedere la pagina."),
        ("Доступ ограничен", "Подтвердите, что вы не робот."),
        ("Bir dakika lütfen...", "Güvenlik kontrolü yapılıyor."),
        ("安全验证", "请完成安全验证后继续访问。"),
        ("", "アクセスが制限されています"),
        ("잠시만 기다리십시오…", "사람인지 확인하는 중입니다."),
    ],
)
def test_a_wall_shows_itself_by_its_words(title: str, text: str) -> None:
    ending = read(page(bare(f"<p>{text}</p>", title))).ending
    assert ending.outcome is Outcome.BLOCKED, ending
    assert ending.detail


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "Loading...",
        "Loading… You are being redirected, please wait.",
        "Please wait",
        "Bitte warten …",
        "Wird geladen",
        "Chargement en cours…",
        "加载中...",
    ],
)
@pytest.mark.parametrize("head", ["", ARTICLE])
def test_a_body_that_says_nothing_has_no_text(text: str, head: str) -> None:
    ending = read(page(bare(f"<main><p>{text}</p></main>", "Paper", head))).ending
    assert (ending.outcome, bool(ending.detail)) == (Outcome.NO_TEXT, True)


CLOUD = '<script src="/cdn-cgi/challenge-platform/scripts/jsd/main.js"></script><script>window._pxAppId="PX1"</script>'
MENU = "<nav>" + "".join(f'<a href="/{name}/">{name}</a> ' for name in ("politics", "world", "sport", "culture")) + "</nav>"


@pytest.mark.parametrize(
    "markup",
    [
        html(f"<article><h1>Just a moment: how a pause saved the bridge</h1>{paragraphs()}</article>"),
        html(f"<article><h1>Access denied</h1>{paragraphs(PROSE[:2])}</article>", ARTICLE),  # a brief that calls itself an article
        html(f"<article><h1>Access denied: court shuts the archive</h1>{paragraphs(PROSE[:2])}</article>"),
        html(f"<article><h1>Are you a robot?</h1>{paragraphs() * 2}<p>You have been blocked. Access denied.</p></article>"),
        html(f"<article><h1>Un momento histórico</h1>{paragraphs(PROSE[:1])}</article>"),
        html(f"<article><h1>Council votes</h1>{paragraphs(PROSE[:2])}</article>{CLOUD}"),  # behind a filter that let us through
        html(
            f"{MENU}<article><h1>Loading the ferry</h1><p>Loading the ferry takes an hour in the morning, says the captain.</p></article>"
        ),
    ],
)
def test_articles_about_walls_and_behind_filters_stay(markup: str) -> None:
    reading = read(page(markup))
    assert reading.ending.outcome is Outcome.STORED, reading.ending


def test_an_application_behind_a_filter_is_no_wall() -> None:
    """A page of menus without words of its own is not classified as a wall because every page of the site loads the filter's script."""
    header = MENU.replace("nav>", "header>")
    assert read(page(html(f"{header}<main><div id=app></div></main>{CLOUD}"))).ending.outcome in (Outcome.NO_TEXT, Outcome.NOT_ARTICLE)
    assert read(page(html(f"<main><div id=app></div></main>{CLOUD}"))).ending.outcome is Outcome.BLOCKED  # it has not even a menu
